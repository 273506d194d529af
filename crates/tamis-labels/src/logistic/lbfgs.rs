//! Limited-memory BFGS for smooth convex functions.
//!
//! The two-loop recursion is algorithm 7.4, the conditions on a step are (3.7) of Nocedal and Wright, "Numerical
//! Optimization", 2nd edition, 2006. The line search is for **convex** functions: the slope along the line only grows,
//! so a step is too long where the slope is positive and too short where it is negative, and the secant of two slopes
//! that differ in sign points at the minimum between them. Slopes carry far less rounding error near the minimum than
//! differences of values do, which matters because the values come from `f32` products.

use std::collections::VecDeque;

use super::{FitReport, LogisticOptions};

/// Pairs of steps and gradient changes that are remembered.
const MEMORY: usize = 10;

/// Share of the first slope's promise by which a step must lower the value (c1 of Nocedal and Wright, section 3.1).
const SUFFICIENT_DECREASE: f64 = 1e-4;

/// Share of the first slope that may remain at the end of a step (c2 of Nocedal and Wright for quasi-Newton methods).
const REMAINING_SLOPE: f64 = 0.9;

/// Rounding error of a value, relative: a mean of `f32` logits. Within it a step counts as no increase.
const VALUE_ERROR: f64 = 1e-7;

/// Evaluations of one line search; a bracket shrinks to a tenth or grows fourfold per evaluation at worst.
const MAX_EVALUATIONS: usize = 30;

/// Factor by which a step grows while no bracket is known.
const GROWTH: f64 = 4.0;

/// Share of the bracket kept clear at both ends when a secant step is taken.
const MARGIN: f64 = 0.1;

/// Where a minimization ended.
#[derive(Debug)]
pub(super) struct Minimum {
    pub(super) position: Vec<f64>,
    pub(super) report: FitReport,
}

/// Minimizes a convex function from `start`; `evaluate(position, gradient)` writes the gradient and returns the value.
///
/// Ends when the largest gradient entry is within tolerance (converged), or when the iterations are spent or no step
/// lowers the value (not converged).
pub(super) fn minimize(
    evaluate: impl Fn(&[f64], &mut [f64]) -> f64,
    start: Vec<f64>,
    options: &LogisticOptions,
) -> Minimum {
    let mut point = Point::new(start, &evaluate);
    let mut history = History::default();
    let mut n_iterations = 0;
    let is_done = |point: &Point| point.max_gradient() <= options.gradient_tolerance;
    while !is_done(&point) && n_iterations < options.max_iterations {
        n_iterations += 1;
        let mut direction = history.direction(&point.gradient);
        if 0.0 <= dot(&direction, &point.gradient) {
            history.pairs.clear();
            direction = history.direction(&point.gradient);
        }
        let first_step = if history.pairs.is_empty() { 1.0 / norm(&direction) } else { 1.0 };
        let Some(next) = line_search(&evaluate, &point, &direction, first_step) else {
            if history.pairs.is_empty() {
                break;
            }
            // The model of the curvature may be what is wrong: start again from the gradient alone.
            history.pairs.clear();
            continue;
        };
        history.push(&point, &next);
        point = next;
    }
    Minimum {
        report: FitReport {
            converged: is_done(&point),
            n_iterations,
            max_gradient: point.max_gradient(),
            objective: point.value,
        },
        position: point.position,
    }
}

/// A position with its value and gradient.
struct Point {
    position: Vec<f64>,
    gradient: Vec<f64>,
    value: f64,
}

impl Point {
    fn new(position: Vec<f64>, evaluate: &impl Fn(&[f64], &mut [f64]) -> f64) -> Self {
        let mut gradient = vec![0.0; position.len()];
        let value = evaluate(&position, &mut gradient);
        Self { position, gradient, value }
    }

    fn max_gradient(&self) -> f64 {
        self.gradient.iter().fold(0.0, |largest, entry| entry.abs().max(largest))
    }
}

/// Finds a point along `direction` that satisfies the strong Wolfe conditions up to the rounding of values.
fn line_search(
    evaluate: &impl Fn(&[f64], &mut [f64]) -> f64,
    from: &Point,
    direction: &[f64],
    first_step: f64,
) -> Option<Point> {
    let first_slope = dot(direction, &from.gradient);
    let slack = VALUE_ERROR * from.value.abs();
    // Step and slope at both ends of the bracket.
    let mut low = (0.0, first_slope);
    let mut high: Option<(f64, f64)> = None;
    let mut step = first_step;
    for _ in 0..MAX_EVALUATIONS {
        let position = from.position.iter().zip(direction).map(|(x, d)| x + step * d).collect();
        let next = Point::new(position, evaluate);
        let slope = dot(direction, &next.gradient);
        let bound = from.value + SUFFICIENT_DECREASE * step * first_slope + slack;
        let is_too_high = next.value.is_nan() || bound < next.value;
        if is_too_high || REMAINING_SLOPE * first_slope.abs() < slope {
            high = Some((step, slope));
        } else if slope < REMAINING_SLOPE * first_slope {
            low = (step, slope);
        } else {
            return Some(next);
        }
        step = match high {
            None => step * GROWTH,
            Some(high) => between(low, high),
        };
    }
    None
}

/// The zero of the secant through two slopes, kept off the ends of the bracket.
fn between(low: (f64, f64), high: (f64, f64)) -> f64 {
    let width = high.0 - low.0;
    let share = -low.1 / (high.1 - low.1);
    if share.is_finite() {
        return low.0 + share.clamp(MARGIN, 1.0 - MARGIN) * width;
    }
    low.0 + width / 2.0
}

/// The last steps and gradient changes, oldest first.
#[derive(Default)]
struct History {
    pairs: VecDeque<Pair>,
}

struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    /// Product of the two, positive.
    curvature: f64,
}

impl History {
    fn push(&mut self, from: &Point, to: &Point) {
        let step = difference(&to.position, &from.position);
        let change = difference(&to.gradient, &from.gradient);
        let curvature = dot(&step, &change);
        // Rounding can hide the curvature of a tiny step; such a pair would spoil the model.
        if curvature <= f64::EPSILON * dot(&change, &change) {
            return;
        }
        if self.pairs.len() == MEMORY {
            self.pairs.pop_front();
        }
        self.pairs.push_back(Pair { step, change, curvature });
    }

    /// The quasi-Newton direction, downhill.
    fn direction(&self, gradient: &[f64]) -> Vec<f64> {
        let mut direction: Vec<f64> = gradient.iter().map(|entry| -entry).collect();
        let mut shares = Vec::with_capacity(self.pairs.len());
        for pair in self.pairs.iter().rev() {
            let share = dot(&pair.step, &direction) / pair.curvature;
            add_scaled(&mut direction, -share, &pair.change);
            shares.push(share);
        }
        if let Some(last) = self.pairs.back() {
            let scale = last.curvature / dot(&last.change, &last.change);
            for entry in &mut direction {
                *entry *= scale;
            }
        }
        for (pair, share) in self.pairs.iter().zip(shares.into_iter().rev()) {
            let correction = dot(&pair.change, &direction) / pair.curvature;
            add_scaled(&mut direction, share - correction, &pair.step);
        }
        direction
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(x, y)| x - y).collect()
}

fn add_scaled(sum: &mut [f64], factor: f64, values: &[f64]) {
    for (entry, value) in sum.iter_mut().zip(values) {
        *entry += factor * value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(max_iterations: usize) -> LogisticOptions {
        LogisticOptions { max_iterations, gradient_tolerance: 1e-9, ..LogisticOptions::default() }
    }

    /// `sum of i * (x_i - 1)^4 / 4 + i * (x_i - 1)^2 / 2`: convex, with curvatures from 1 to 20.
    fn quartic(position: &[f64], gradient: &mut [f64]) -> f64 {
        let mut value = 0.0;
        for (index, (x, slope)) in position.iter().zip(gradient).enumerate() {
            let (weight, x) = (index as f64 + 1.0, x - 1.0);
            *slope = weight * (x.powi(3) + x);
            value += weight * (x.powi(4) / 4.0 + x.powi(2) / 2.0);
        }
        value
    }

    #[test]
    fn the_minimum_of_a_convex_function_is_found() {
        let minimum = minimize(quartic, vec![0.0; 20], &options(100));
        assert!(minimum.report.converged, "{:?}", minimum.report);
        assert!(minimum.position.iter().all(|x| (x - 1.0).abs() < 1e-8));
    }

    #[test]
    fn each_iteration_lowers_the_value() {
        let values: Vec<f64> =
            (1..10).map(|n| minimize(quartic, vec![5.0; 20], &options(n)).report.objective).collect();
        assert!(values.is_sorted_by(|a, b| a > b), "{values:?}");
    }

    #[test]
    fn running_out_of_iterations_is_reported() {
        let report = minimize(quartic, vec![9.0; 20], &options(1)).report;
        assert!(!report.converged);
        assert_eq!(report.n_iterations, 1);
    }
}
