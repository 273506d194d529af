//! What leaving a family out changes in the scores of its members.

use std::collections::BTreeMap;
use std::ops::Range;

use ndarray::{Array2, ArrayView2, ArrayViewMut2, azip, s};

use super::Grouping;
use super::gaussian::{Gaussian, Labeled};
use super::linear::invert_small;

/// Most classes of one family whose share of the covariance is taken off; the heaviest ones. Chosen: families are
/// copies, whose labels rarely name more than two classes; the means of all classes are corrected in any case.
const MAX_TERMS: usize = 8;

/// Least share of the covariance that stays in the direction that is taken off.
const MIN_REST: f64 = 1e-3;

/// The families of one block of rows.
#[derive(Debug)]
pub(super) struct LeftOut<'a> {
    grouping: &'a Grouping,
    rows: &'a [u32],
    families: Vec<FamilyPart>,
    /// Classes of all families, ascending, each once.
    labels: Vec<usize>,
    n_means: usize,
}

/// One family in the block.
#[derive(Debug)]
struct FamilyPart {
    /// Places of its members in the block.
    places: Range<usize>,
    /// What its labeled members, also those outside the block, weigh in each class.
    classes: Vec<ClassPart>,
}

/// What a family holds of one class.
#[derive(Debug)]
struct ClassPart {
    class: usize,
    weight: f64,
    count: f64,
    /// Whether the covariance is fitted to the family.
    is_spread: bool,
    /// Place of its mean vector behind the rows of the block; `None` when it is the only member's own vector.
    mean: Option<usize>,
}

impl<'a> LeftOut<'a> {
    pub(super) fn new(samples: &Labeled<'_>, grouping: &'a Grouping, rows: &'a [u32]) -> Self {
        let mut families = Vec::new();
        let (mut start, mut n_means) = (0, 0);
        for members in rows.chunk_by(|&a, &b| grouping.family_of(a) == grouping.family_of(b)) {
            let places = start..start + members.len();
            start = places.end;
            let mut classes = classes_of(samples, grouping.members(members[0]));
            if grouping.members(members[0]).len() > 1 {
                for part in &mut classes {
                    part.mean = Some(n_means);
                    n_means += 1;
                }
            }
            families.push(FamilyPart { places, classes });
        }
        let mut labels: Vec<usize> =
            families.iter().flat_map(|family| family.classes.iter().map(|it| it.class)).collect();
        labels.sort_unstable();
        labels.dedup();
        Self { grouping, rows, families, labels, n_means }
    }

    pub(super) fn n_means(&self) -> usize {
        self.n_means
    }

    pub(super) fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// Writes the weighted mean vector of each class of each family with more than one member, `(n_means, d)`.
    pub(super) fn write_means(&self, samples: &Labeled<'_>, mut means: ArrayViewMut2<'_, f32>) {
        for family in &self.families {
            let members = self.grouping.members(self.rows[family.places.start]);
            for part in &family.classes {
                let Some(place) = part.mean else { continue };
                let mut sum = vec![0.0_f64; means.ncols()];
                for &row in members {
                    let row = row as usize;
                    if samples.labels[row].is_none_or(|label| label as usize != part.class) {
                        continue;
                    }
                    let weight = f64::from(samples.weights[row]) / part.weight;
                    for (sum, &value) in sum.iter_mut().zip(samples.features.row(row)) {
                        *sum += weight * f64::from(value);
                    }
                }
                for (value, sum) in means.row_mut(place).iter_mut().zip(sum) {
                    *value = sum as f32;
                }
            }
        }
    }

    /// Corrects the scores `(rows, n_classes)` of all members for what leaves with their family.
    ///
    /// `whitened` holds the rows of the block, then the family means, then the means of [`Self::labels`]; `products` are
    /// its products with all class means.
    pub(super) fn correct(
        &self,
        gaussian: &Gaussian,
        whitened: &Array2<f32>,
        products: &Array2<f32>,
        scores: &mut Array2<f32>,
    ) {
        let place_of_label = |class: usize| {
            let label = self.labels.binary_search(&class).expect("because the labels of all families are in it");
            self.rows.len() + self.n_means + label
        };
        for family in &self.families {
            let term = |part: &ClassPart| {
                let mean = part.mean.map_or(family.places.start, |mean| self.rows.len() + mean);
                Term::new(gaussian, part, mean, place_of_label(part.class))
            };
            let mut terms: Vec<Term> = family.classes.iter().map(term).collect();
            // Stable: the heaviest class stays first.
            terms.sort_by_key(|term| term.step.is_none());
            let block = Products { whitened: whitened.view(), products: products.view() };
            let removal = Removal::new(&terms, &block);
            for place in family.places.clone() {
                removal.correct(
                    place,
                    &block,
                    gaussian,
                    scores.slice_mut(s![place, ..]).as_slice_mut().expect("because scores are in row-major order"),
                );
            }
        }
    }
}

/// Sorts the labeled members by class; heaviest class first, equal weights by the smaller class.
fn classes_of(samples: &Labeled<'_>, members: &[u32]) -> Vec<ClassPart> {
    let mut classes: Vec<ClassPart> = Vec::new();
    for &row in members {
        let Some(label) = samples.labels[row as usize] else { continue };
        let weight = f64::from(samples.weights[row as usize]);
        match classes.iter_mut().find(|part| part.class == label as usize) {
            Some(part) => {
                part.weight += weight;
                part.count += 1.0;
            }
            None => classes.push(ClassPart {
                class: label as usize,
                weight,
                count: 1.0,
                is_spread: samples.is_spread[row as usize],
                mean: None,
            }),
        }
    }
    classes.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.class.cmp(&b.class)));
    classes
}

/// What one class of a family changes.
struct Term {
    class: usize,
    /// Samples of the class that remain.
    rest: f64,
    /// Step of the class mean away from the family's mean, relative to their distance; `None` when nothing remains.
    step: Option<f64>,
    /// Factor of the rank-one term of the covariance.
    factor: f64,
    /// Places of the family's mean and of the class mean among the whitened vectors.
    mean: usize,
    class_mean: usize,
}

impl Term {
    fn new(gaussian: &Gaussian, part: &ClassPart, mean: usize, class_mean: usize) -> Self {
        let changes = gaussian.without(part.class, part.weight);
        Self {
            class: part.class,
            rest: gaussian.count(part.class) - part.count,
            step: changes.map(|(step, _)| step),
            factor: changes.filter(|_| part.is_spread).map_or(0.0, |(_, factor)| factor),
            mean,
            class_mean,
        }
    }
}

/// Whitened vectors and their products with the class means.
struct Products<'a> {
    whitened: ArrayView2<'a, f32>,
    products: ArrayView2<'a, f32>,
}

impl Products<'_> {
    fn dot(&self, a: usize, b: usize) -> f64 {
        f64::from(self.whitened.row(a).dot(&self.whitened.row(b)))
    }
}

/// The closed form for one family: with `u` = family mean less class mean, the covariance loses `Σ factor u uᵀ`.
struct Removal<'a> {
    terms: &'a [Term],
    /// Terms that the covariance loses: those with a factor, at most [`MAX_TERMS`].
    n_terms: usize,
    /// `u_i · u_j` of the first `n_terms` with all.
    inner: Array2<f64>,
    /// `u_i · u_i` of all.
    norms: Vec<f64>,
    /// `(diag(1 / factor) - inner)^-1` over the first `n_terms`.
    kernel: Array2<f64>,
    /// Place of the term of a class.
    place_of: BTreeMap<usize, usize>,
}

impl<'a> Removal<'a> {
    fn new(terms: &'a [Term], block: &Products<'_>) -> Self {
        let n_terms = terms.iter().take(MAX_TERMS).take_while(|term| 0.0 < term.factor).count();
        let inner = Array2::from_shape_fn((n_terms, terms.len()), |(i, j)| inner_product(block, &terms[i], &terms[j]));
        let small = Array2::from_shape_fn((n_terms, n_terms), |(i, j)| {
            if i != j {
                return -inner[[i, j]];
            }
            let whole = 1.0 / terms[i].factor;
            (whole - inner[[i, i]]).max(MIN_REST * whole)
        });
        let kernel = invert_small(small).unwrap_or_else(|| Array2::zeros((n_terms, n_terms)));
        let norms = terms.iter().map(|term| inner_product(block, term, term)).collect();
        let place_of = terms.iter().enumerate().map(|(place, term)| (term.class, place)).collect();
        Self { terms, n_terms, inner, norms, kernel, place_of }
    }

    /// Corrects the scores of the member at `place`.
    fn correct(&self, place: usize, block: &Products<'_>, gaussian: &Gaussian, scores: &mut [f32]) {
        if self.terms.is_empty() {
            return;
        }
        // u_j · z of each term, with z the member.
        let along: Vec<f64> =
            self.terms.iter().map(|term| block.dot(place, term.mean) - block.dot(place, term.class_mean)).collect();
        if let [term] = self.terms {
            self.correct_single(term, along[0], block, scores);
        } else {
            self.correct_general(&along, block, scores);
        }
        for term in self.terms {
            let score = &mut scores[term.class];
            match term.step {
                None => *score = f32::NEG_INFINITY,
                Some(_) => *score += (term.rest / gaussian.count(term.class)).ln() as f32,
            }
        }
    }

    fn correct_single(&self, term: &Term, along: f64, block: &Products<'_>, scores: &mut [f32]) {
        let Some(step) = term.step else { return };
        let gain = if self.n_terms == 0 { 0.0 } else { self.kernel[[0, 0]] };
        let norm = self.norms[0];
        let (mean, class_mean) = (block.products.row(term.mean), block.products.row(term.class_mean));
        let half_gain = (gain / 2.0) as f32;
        let along_f32 = along as f32;
        let own_score = scores[term.class];
        let own = along - f64::from(mean[term.class] - class_mean[term.class]);
        azip!((score in &mut scores[..], &mean in mean, &class_mean in class_mean) {
            let toward = along_f32 - (mean - class_mean);
            *score -= half_gain * toward * toward;
        });
        // The distance to the class mean that has moved by -step u.
        let toward = own + step * norm;
        let moved = 2.0 * step * own + step * step * norm;
        scores[term.class] = own_score - (f64::midpoint(moved, gain * toward * toward)) as f32;
    }

    fn correct_general(&self, along: &[f64], block: &Products<'_>, scores: &mut [f32]) {
        let n = self.n_terms;
        // Classes of terms beyond those that the covariance loses have only their own mean moved.
        let mut toward = vec![0.0_f64; n];
        for (class, score) in scores.iter_mut().enumerate() {
            let along_of = |place: usize| {
                let term = &self.terms[place];
                along[place] - f64::from(block.products[[term.mean, class]] - block.products[[term.class_mean, class]])
            };
            for (place, toward) in toward.iter_mut().enumerate() {
                *toward = along_of(place);
            }
            let mut change = 0.0;
            if let Some(&own) = self.place_of.get(&class) {
                let step = self.terms[own].step.unwrap_or(0.0);
                change += 2.0 * step * along_of(own) + step * step * self.norms[own];
                for (place, toward) in toward.iter_mut().enumerate() {
                    *toward += step * self.inner[[place, own]];
                }
            }
            for i in 0..n {
                for j in 0..n {
                    change += toward[i] * self.kernel[[i, j]] * toward[j];
                }
            }
            *score -= (change / 2.0) as f32;
        }
    }
}

/// `u_i · u_j` of two terms.
fn inner_product(block: &Products<'_>, i: &Term, j: &Term) -> f64 {
    block.dot(i.mean, j.mean) - block.dot(i.mean, j.class_mean) - block.dot(i.class_mean, j.mean)
        + block.dot(i.class_mean, j.class_mean)
}
