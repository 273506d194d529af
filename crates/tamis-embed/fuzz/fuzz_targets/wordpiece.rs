//! Compares our WordPiece with the tokenizers library on any bytes.
//!
//! `cd crates/tamis-embed && cargo +nightly fuzz run wordpiece`. The first byte of an input chooses the tokenizer and
//! the longest input, the rest is the text.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use tokenizers::{Tokenizer, TruncationDirection, TruncationParams, TruncationStrategy};

mod tokens;

/// The bundled tokenizer.
const BUNDLED: &[u8] = include_bytes!("../../../../models/all-minilm-l6-v2/tokenizer.json");

/// Five settings of the normalizer, each with the bundled vocabulary and with one that shows every character.
static TOKENIZERS: LazyLock<Vec<Tokenizer>> = LazyLock::new(|| {
    let bundled: Value = serde_json::from_slice(BUNDLED).unwrap();
    let mut spelling = bundled.clone();
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned);
    let shown = (0..0x3400).chain(0xF900..0x1_0000).chain(0x1_D000..0x1_F700).filter_map(char::from_u32);
    let words = special.into_iter().chain(shown.flat_map(|c| [c.to_string(), format!("##{c}")]));
    spelling["model"]["vocab"] = words.enumerate().map(|(id, word)| (word, Value::from(id))).collect();
    let options = [
        (true, true, Value::Null, true),
        (true, true, Value::Null, false),
        (true, false, json!(false), true),
        (false, true, json!(true), false),
        (false, false, json!(true), true),
    ];
    let tokenizer = |file: &Value, (clean, chinese, strip, lower): &(bool, bool, Value, bool)| {
        let mut file = file.clone();
        file["padding"] = Value::Null;
        file["normalizer"] = json!({
            "type": "BertNormalizer", "clean_text": clean, "handle_chinese_chars": chinese,
            "strip_accents": strip, "lowercase": lower,
        });
        Tokenizer::from_bytes(serde_json::to_vec(&file).unwrap()).unwrap()
    };
    [bundled, spelling].iter().flat_map(|file| options.iter().map(move |options| tokenizer(file, options))).collect()
});

/// Ours and the library's, for each of a few longest inputs.
static BOTH: LazyLock<Vec<(tokens::WordPiece, Tokenizer)>> = LazyLock::new(|| {
    let both = |(tokenizer, max_length): (&Tokenizer, usize)| {
        let ours = tokens::WordPiece::new(tokenizer, max_length).unwrap();
        let mut theirs = tokenizer.clone();
        let (direction, strategy) = (TruncationDirection::Right, TruncationStrategy::LongestFirst);
        theirs.with_truncation(Some(TruncationParams { direction, max_length, strategy, stride: 0 })).unwrap();
        (ours, theirs)
    };
    TOKENIZERS.iter().flat_map(|tokenizer| [(tokenizer, 8), (tokenizer, 1 << 20)]).map(both).collect()
});

fuzz_target!(|data: &[u8]| {
    let Some((&choice, text)) = data.split_first() else { return };
    let (ours, theirs) = &BOTH[usize::from(choice) % BOTH.len()];
    let text = String::from_utf8_lossy(text);
    let expected = theirs.encode_fast(text.as_ref(), true).unwrap();
    let got = ours.encode(&text);
    assert_eq!(got.ids, expected.get_ids(), "ids of {text:?}");
    assert_eq!(got.truncated, !expected.get_overflowing().is_empty(), "truncation of {text:?}");
});
