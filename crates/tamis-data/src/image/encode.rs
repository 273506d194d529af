//! Small baseline JPEG files for people to look at.
//!
//! A thumbnail is made of every picture, and by the encoders of the crates `image` and `jpeg-encoder` a whole picture of
//! 500 x 375 pixels takes 20 and 8 to 15 % longer (docs/benchmarks). This one has the same header, tables and sampling
//! (ITU-T T.81, baseline, colors at full resolution), works on eight rows at once, and rounds coefficients from 32-bit
//! floats. Sums are made in one order on all machines and nothing is fused, so the same pixels give the same bytes.

use super::flat::Channels;
use super::machine::{self, Machine, Pass};

/// Rows and columns of a block.
const SIDE: usize = 8;

/// One block, or one plane of eight rows of one: eight numbers a row.
type Block = [[f32; SIDE]; SIDE];

/// Writes a file.
///
/// `values` has shape `(height, width, channels)`; sides are 1 to 65,535 and `quality` is 1 to 100, on the scale of the
/// Independent JPEG Group.
pub(super) fn jpeg(values: &[u8], size: (u16, u16), channels: Channels, quality: u8) -> Vec<u8> {
    write(values, size, channels, quality, |blocks| machine::run(blocks))
}

fn write(
    values: &[u8],
    (width, height): (u16, u16),
    channels: Channels,
    quality: u8,
    run: impl FnOnce(Blocks<'_>),
) -> Vec<u8> {
    let scaled = QUANTIZATION.map(|table| table.map(|step| at_quality(step, quality)));
    let n_components = if channels == Channels::Grey { 1 } else { 3 };
    let mut out = Bits { bytes: Vec::with_capacity(values.len() / 4 + 1024), held: 0, n_held: 0 };
    header(&mut out.bytes, (width, height), n_components, &scaled);
    let factors = scaled.map(|table| factors(&table));
    let (width, height) = (usize::from(width), usize::from(height));
    run(Blocks { values, width, height, n_components, factors, out: &mut out });
    out.finish()
}

/// Writes all blocks of a picture.
struct Blocks<'a> {
    values: &'a [u8],
    width: usize,
    height: usize,
    n_components: usize,
    factors: [Block; 2],
    out: &'a mut Bits,
}

impl Pass for Blocks<'_> {
    #[inline(always)]
    fn run(self, machine: impl Machine) {
        let Self { values, width, height, n_components, factors, out } = self;
        let mut planes = vec![[[0.0; SIDE]; SIDE]; width.div_ceil(SIDE) * n_components];
        let mut previous = [0; 3];
        for top in (0..height).step_by(SIDE) {
            for y in 0..SIDE {
                // What is behind an edge repeats it.
                let row = &values[(top + y).min(height - 1) * width * n_components..][..width * n_components];
                if n_components == 1 {
                    split_grey(row, &mut planes, y);
                } else {
                    split_rgb(row.as_chunks::<3>().0, &mut planes, y);
                }
            }
            for blocks in planes.chunks_exact(n_components) {
                for (component, block) in blocks.iter().enumerate() {
                    let kind = usize::from(component > 0);
                    let levels = quantize(machine, block, &factors[kind]);
                    out.block(machine, &levels, &mut previous[component], (&DC[kind], &AC[kind]));
                }
            }
        }
    }
}

// What is called above is inlined: only there it is compiled for the instructions of the machine.

/// Lays out row `y` of eight in blocks of one component, black as -128.
#[inline(always)]
fn split_grey(row: &[u8], planes: &mut [Block], y: usize) {
    for (values, block) in row.chunks(SIDE).zip(planes) {
        for (x, to) in block[y].iter_mut().enumerate() {
            *to = f32::from(values[x.min(values.len() - 1)]) - 128.0;
        }
    }
}

/// Lays out row `y` of eight in blocks of luminance and two color differences by turns, by the weights of ITU-R 601-2 that
/// JFIF 1.02 prescribes.
#[inline(always)]
fn split_rgb(row: &[[u8; 3]], planes: &mut [Block], y: usize) {
    for (values, [luma, blue, red]) in row.chunks(SIDE).zip(planes.as_chunks_mut::<3>().0) {
        let mut pixels = [[0; 3]; SIDE];
        for (x, pixel) in pixels.iter_mut().enumerate() {
            *pixel = values[x.min(values.len() - 1)];
        }
        for (x, pixel) in pixels.into_iter().enumerate() {
            let [r, g, b] = pixel.map(f32::from);
            luma[y][x] = 0.299 * r + 0.587 * g + 0.114 * b - 128.0;
            blue[y][x] = -0.168_735_9 * r - 0.331_264_1 * g + 0.5 * b;
            red[y][x] = 0.5 * r - 0.418_687_6 * g - 0.081_312_4 * b;
        }
    }
}

/// The cosine transform of a block, divided by its steps and rounded, row by row.
#[inline(always)]
fn quantize(machine: impl Machine, block: &Block, factors: &Block) -> [i32; SIDE * SIDE] {
    // Down the columns: a row of the cosines is even or odd about its middle.
    let mut down = [[0.0; SIDE]; SIDE];
    for y in 0..SIDE / 2 {
        let (upper, lower) = (block[y], block[SIDE - 1 - y]);
        let even: [f32; SIDE] = std::array::from_fn(|x| upper[x] + lower[x]);
        let odd: [f32; SIDE] = std::array::from_fn(|x| upper[x] - lower[x]);
        for v in (0..SIDE).step_by(2) {
            machine.add_scaled(&mut down[v], &even, COSINES[y][v]);
            machine.add_scaled(&mut down[v + 1], &odd, COSINES[y][v + 1]);
        }
    }
    let mut levels = [0; SIDE * SIDE];
    for ((down, factors), levels) in down.iter().zip(factors).zip(levels.as_chunks_mut::<SIDE>().0) {
        let mut across = [0.0; SIDE];
        for (value, cosines) in down.iter().zip(&COSINES) {
            machine.add_scaled(&mut across, cosines, *value);
        }
        for ((level, sum), factor) in levels.iter_mut().zip(&across).zip(factors) {
            // A number this large has no fraction bits: adding it rounds, ties to even, and leaves the level in the lowest
            // bits. Levels are at most 1,024 (128 x 8 x 8 / 8, and a step of 1).
            *level = (sum * factor + ROUNDING).to_bits().wrapping_sub(ROUNDING.to_bits()).cast_signed();
        }
    }
    levels
}

/// 1.5 x 2^23.
const ROUNDING: f32 = 12_582_912.0;

/// `cos(pi u (2 x + 1) / 16)` for each place `x` and frequency `u`.
const COSINES: Block = {
    // cos(pi k / 16) for k of 0 to 8; the others are these with a sign.
    let quarter = [
        1.0,
        0.980_785_280_403_230_4,
        0.923_879_532_511_286_7,
        0.831_469_612_302_545_2,
        std::f64::consts::FRAC_1_SQRT_2,
        0.555_570_233_019_602_2,
        0.382_683_432_365_089_8,
        0.195_090_322_016_128_27,
        0.0,
    ];
    let mut table = [[0.0; SIDE]; SIDE];
    let mut x = 0;
    while x < SIDE {
        let mut u = 0;
        while u < SIDE {
            let angle = u * (2 * x + 1) % 32;
            let half = if angle > 16 { 32 - angle } else { angle };
            table[x][u] = if half > 8 { -quarter[16 - half] } else { quarter[half] } as f32;
            u += 1;
        }
        x += 1;
    }
    table
};

/// What [`quantize`] multiplies with: the norm of the transform (1/4, and 1/sqrt 2 for a frequency of 0) over the step.
fn factors(steps: &[u8; SIDE * SIDE]) -> Block {
    let norm = |frequency: usize| if frequency == 0 { std::f64::consts::FRAC_1_SQRT_2 } else { 1.0 };
    std::array::from_fn(|v| std::array::from_fn(|u| (norm(u) * norm(v) / 4.0 / f64::from(steps[SIDE * v + u])) as f32))
}

/// The step of a table at a quality, as the Independent JPEG Group scales it (libjpeg, `jcparam.c`).
fn at_quality(step: u8, quality: u8) -> u8 {
    let quality = u32::from(quality.clamp(1, 100));
    let percent = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
    // At most 255.
    ((u32::from(step) * percent + 50) / 100).clamp(1, 255) as u8
}

/// Everything before the pixels.
fn header(out: &mut Vec<u8>, (width, height): (u16, u16), n_components: usize, steps: &[[u8; SIDE * SIDE]; 2]) {
    let n_kinds = n_components.min(2);
    // There are at most three components.
    let components = 1..=n_components as u8;
    out.extend([0xff, 0xd8]);
    // JFIF 1.02, square pixels, no preview.
    segment(out, 0xe0, b"JFIF\0\x01\x02\0\0\x01\0\x01\0\0");
    let [h, w] = [height, width].map(u16::to_be_bytes);
    let kind_of = |component: u8| u8::from(component > 1);
    let frame = components.clone().flat_map(|it| [it, 0x11, kind_of(it)]);
    segment(out, 0xc0, &[8, h[0], h[1], w[0], w[1], n_components as u8].into_iter().chain(frame).collect::<Vec<u8>>());
    for (kind, steps) in (0..).zip(&steps[..n_kinds]) {
        let body = ZIGZAG.iter().map(|it| steps[usize::from(*it)]);
        segment(out, 0xdb, &std::iter::once(kind).chain(body).collect::<Vec<u8>>());
    }
    for (kind, (dc, ac)) in (0..).zip(DC.iter().zip(&AC).take(n_kinds)) {
        for (class, codes) in [(0, dc), (0x10, ac)] {
            segment(out, 0xc4, &[&[class | kind], codes.counts.as_slice(), codes.symbols].concat());
        }
    }
    let scan = components.flat_map(|it| [it, 0x11 * kind_of(it)]).chain([0, 63, 0]);
    segment(out, 0xda, &std::iter::once(n_components as u8).chain(scan).collect::<Vec<u8>>());
}

fn segment(out: &mut Vec<u8>, marker: u8, body: &[u8]) {
    // The longest segment is a table of codes: 1 + 16 + 162 bytes.
    out.extend([0xff, marker, 0, body.len() as u8 + 2]);
    out.extend(body);
}

/// Bits on their way into a file.
struct Bits {
    bytes: Vec<u8>,
    /// The lowest `n_held` bits are not yet in `bytes`.
    held: u64,
    n_held: u32,
}

impl Bits {
    /// Writes the levels of a block, given row by row (T.81, F.1.2).
    #[inline(always)]
    fn block(
        &mut self,
        machine: impl Machine,
        levels: &[i32; SIDE * SIDE],
        previous: &mut i32,
        (dc, ac): (&Codes, &Codes),
    ) {
        let difference = levels[0] - *previous;
        *previous = levels[0];
        self.level(dc, 0, difference);
        // Most levels are 0. Those that are not are found by their bits, row by row, and then taken in the order of a file.
        let mut places = 0_u64;
        for (row, levels) in levels.as_chunks::<SIDE>().0.iter().enumerate() {
            let mut bits = machine.nonzero(levels);
            while bits != 0 {
                places |= 1 << IN_ZIGZAG[SIDE * row + bits.trailing_zeros() as usize];
                bits &= bits - 1;
            }
        }
        // The mean is written.
        places &= !1;
        let mut behind = 1;
        while places != 0 {
            let place = places.trailing_zeros();
            places &= places - 1;
            let mut zeros = place - behind;
            while zeros > 15 {
                self.put(ac.of[0xf0]);
                zeros -= 16;
            }
            self.level(ac, zeros, levels[usize::from(ZIGZAG[place as usize])]);
            behind = place + 1;
        }
        if behind < 64 {
            self.put(ac.of[0]);
        }
    }

    /// Writes a level behind a number of zeros: the code of both, then the lowest bits of the level.
    #[inline(always)]
    fn level(&mut self, codes: &Codes, zeros: u32, level: i32) {
        let n_bits = 32 - level.unsigned_abs().leading_zeros();
        let Code { code, length } = codes.of[(zeros << 4 | n_bits) as usize];
        // A negative level is written as one less, in two's complement.
        let bits = (level - i32::from(level < 0)).cast_unsigned() & ((1 << n_bits) - 1);
        self.put(Code { code: code << n_bits | bits, length: length + n_bits });
    }

    /// At most 16 bits of a code and 11 of a level.
    #[inline(always)]
    fn put(&mut self, Code { code, length }: Code) {
        self.held = self.held << length | u64::from(code);
        self.n_held += length;
        if self.n_held >= 32 {
            self.n_held -= 32;
            let bytes = ((self.held >> self.n_held) as u32).to_be_bytes();
            if bytes.contains(&0xff) {
                bytes.iter().for_each(|it| self.byte(*it));
            } else {
                self.bytes.extend_from_slice(&bytes);
            }
        }
    }

    /// A byte among pixels: FF is followed by 0, so that it is no marker.
    fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
        if byte == 0xff {
            self.bytes.push(0);
        }
    }

    /// Fills the last byte with ones and writes the end mark.
    fn finish(mut self) -> Vec<u8> {
        let n_missing = self.n_held.next_multiple_of(8) - self.n_held;
        self.put(Code { code: (1 << n_missing) - 1, length: n_missing });
        while self.n_held > 0 {
            self.n_held -= 8;
            self.byte((self.held >> self.n_held) as u8);
        }
        self.bytes.extend([0xff, 0xd9]);
        self.bytes
    }
}

/// A Huffman code: its lowest `length` bits.
#[derive(Clone, Copy)]
struct Code {
    code: u32,
    length: u32,
}

/// A table of codes as a file declares it, and the code of each symbol.
struct Codes {
    counts: &'static [u8; 16],
    symbols: &'static [u8],
    of: [Code; 256],
}

impl Codes {
    /// Symbols have codes in their order, `counts[n]` of them of `n + 1` bits (T.81, C.2).
    const fn new(counts: &'static [u8; 16], symbols: &'static [u8]) -> Self {
        let mut of = [Code { code: 0, length: 0 }; 256];
        let (mut code, mut at, mut length) = (0, 0, 0);
        while length < 16 {
            let end = at + counts[length] as usize;
            while at < end {
                of[symbols[at] as usize] = Code { code, length: length as u32 + 1 };
                code += 1;
                at += 1;
            }
            code <<= 1;
            length += 1;
        }
        Self { counts, symbols, of }
    }
}

/// Differences of mean levels, for luminance and for color (T.81, tables K.3 and K.4).
static DC: [Codes; 2] = [
    Codes::new(&[0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
    Codes::new(&[0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
];

/// Other levels with the zeros before them, for luminance and for color (T.81, tables K.5 and K.6).
static AC: [Codes; 2] = [
    Codes::new(
        &[0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d],
        b"\x01\x02\x03\x00\x04\x11\x05\x12\x21\x31\x41\x06\x13\x51\x61\x07\x22\x71\x14\x32\x81\x91\xa1\x08\x23\x42\xb1\
        \xc1\x15\x52\xd1\xf0\x24\x33\x62\x72\x82\x09\x0a\x16\x17\x18\x19\x1a\x25\x26\x27\x28\x29\x2a\x34\x35\x36\x37\
        \x38\x39\x3a\x43\x44\x45\x46\x47\x48\x49\x4a\x53\x54\x55\x56\x57\x58\x59\x5a\x63\x64\x65\x66\x67\x68\x69\x6a\
        \x73\x74\x75\x76\x77\x78\x79\x7a\x83\x84\x85\x86\x87\x88\x89\x8a\x92\x93\x94\x95\x96\x97\x98\x99\x9a\xa2\xa3\
        \xa4\xa5\xa6\xa7\xa8\xa9\xaa\xb2\xb3\xb4\xb5\xb6\xb7\xb8\xb9\xba\xc2\xc3\xc4\xc5\xc6\xc7\xc8\xc9\xca\xd2\xd3\
        \xd4\xd5\xd6\xd7\xd8\xd9\xda\xe1\xe2\xe3\xe4\xe5\xe6\xe7\xe8\xe9\xea\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9\xfa",
    ),
    Codes::new(
        &[0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77],
        b"\x00\x01\x02\x03\x11\x04\x05\x21\x31\x06\x12\x41\x51\x07\x61\x71\x13\x22\x32\x81\x08\x14\x42\x91\xa1\xb1\xc1\
        \x09\x23\x33\x52\xf0\x15\x62\x72\xd1\x0a\x16\x24\x34\xe1\x25\xf1\x17\x18\x19\x1a\x26\x27\x28\x29\x2a\x35\x36\
        \x37\x38\x39\x3a\x43\x44\x45\x46\x47\x48\x49\x4a\x53\x54\x55\x56\x57\x58\x59\x5a\x63\x64\x65\x66\x67\x68\x69\
        \x6a\x73\x74\x75\x76\x77\x78\x79\x7a\x82\x83\x84\x85\x86\x87\x88\x89\x8a\x92\x93\x94\x95\x96\x97\x98\x99\x9a\
        \xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xb2\xb3\xb4\xb5\xb6\xb7\xb8\xb9\xba\xc2\xc3\xc4\xc5\xc6\xc7\xc8\xc9\xca\
        \xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9\xda\xe2\xe3\xe4\xe5\xe6\xe7\xe8\xe9\xea\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9\xfa",
    ),
];

/// Steps of quality 50 row by row, for luminance and for color (T.81, tables K.1 and K.2).
const QUANTIZATION: [[u8; SIDE * SIDE]; 2] = [
    [
        16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29,
        51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121,
        120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
    ],
    [
        17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99,
    ],
];

/// The places of a block in the order of a file (T.81, figure A.6).
const ZIGZAG: [u8; SIDE * SIDE] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// For each place of a block, where [`ZIGZAG`] has it.
const IN_ZIGZAG: [u8; SIDE * SIDE] = {
    let mut table = [0; SIDE * SIDE];
    let mut at = 0;
    while at < ZIGZAG.len() {
        table[ZIGZAG[at] as usize] = at as u8;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use image::codecs::jpeg::JpegEncoder;
    use image::{ExtendedColorType, ImageEncoder as _};

    use super::super::machine::Portable;
    use super::*;

    /// A picture with smooth parts, edges and noise.
    fn picture(width: usize, height: usize, n_channels: usize) -> Vec<u8> {
        let value = |x: usize, y: usize, c: usize| match (x / 11 + y / 7) % 3 {
            0 => x * 3 + y * (2 + c) + 40 * c,
            1 => ((x * x * 31 + y * 57 + c * 91) * 2_654_435_761) >> 16,
            _ => 255 * ((x / 5 + y / 3 + c) % 2),
        };
        (0..width * height * n_channels)
            .map(|at| (value(at / n_channels % width, at / n_channels / width, at % n_channels) & 255) as u8)
            .collect()
    }

    fn file_of_image(values: &[u8], (width, height): (u16, u16), channels: Channels, quality: u8) -> Vec<u8> {
        let color = if channels == Channels::Grey { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
        let mut file = Vec::new();
        let encoder = JpegEncoder::new_with_quality(&mut file, quality);
        encoder.write_image(values, width.into(), height.into(), color).unwrap();
        file
    }

    /// Mean squared difference of a file's pixels from those that went in.
    fn error(file: &[u8], values: &[u8]) -> f64 {
        let found = image::load_from_memory(file).unwrap();
        assert_eq!(found.as_bytes().len(), values.len());
        let squares = found.as_bytes().iter().zip(values).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2));
        squares.sum::<f64>() / values.len() as f64
    }

    #[test]
    fn files_are_those_of_image_but_for_the_rounding_of_levels() {
        for (channels, n_channels) in [(Channels::Grey, 1), (Channels::Rgb, 3)] {
            for (width, height) in [(128, 96), (1, 1), (8, 8), (9, 7), (128, 3), (5, 128)] {
                for quality in [10, 85, 100] {
                    let values = picture(width.into(), height.into(), n_channels);
                    let file = jpeg(&values, (width, height), channels, quality);
                    let portable = |blocks: Blocks<'_>| blocks.run(Portable);
                    assert!(file == write(&values, (width, height), channels, quality, portable), "by every machine");
                    let other = file_of_image(&values, (width, height), channels, quality);
                    let start = file.windows(2).position(|it| it == b"\xff\xda").unwrap() + 2;
                    assert_eq!(file[..start], other[..start], "{width} x {height} {channels:?} {quality}");
                    // Both round the same numbers to the same steps, with rounding errors of their own in between.
                    let (ours, theirs) = (error(&file, &values), error(&other, &values));
                    assert!(ours <= theirs * 1.01 + 0.1, "{width} x {height} {channels:?} {quality}: {ours}, {theirs}");
                    let sizes = (file.len() as f64, other.len() as f64);
                    assert!((sizes.0 - sizes.1).abs() <= sizes.1 * 0.02 + 2.0, "{sizes:?}");
                }
            }
        }
    }

    #[test]
    fn long_runs_and_the_largest_levels_are_written() {
        // The highest frequency alone, at full contrast and the finest steps: 62 zeros before it.
        let values: Vec<u8> = (0..64).map(|at| if (at % 8 + at / 8) % 2 == 0 { 255 } else { 0 }).collect();
        let file = jpeg(&values, (8, 8), Channels::Grey, 100);
        assert!(error(&file, &values) < 1.0, "{}", error(&file, &values));
    }
}
