//! Our ids against those of the tokenizers library.

use std::sync::OnceLock;

use proptest::prelude::*;
use rayon::prelude::*;
use serde_json::{Value, json};
use tokenizers::{TruncationDirection, TruncationParams, TruncationStrategy};

use super::*;

/// The tokenizer of the bundled model.
fn bundled() -> Value {
    static FILE: OnceLock<Value> = OnceLock::new();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/all-minilm-l6-v2/tokenizer.json");
    FILE.get_or_init(|| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()).clone()
}

/// All characters of planes 0 to 2, and the tags. Of those of one kind (Chinese, Hangul, Tangut, private use) every
/// 64th stands for the others, and what is near the ends of a block for its ends.
fn characters() -> impl Iterator<Item = char> {
    let alike =
        [0x3410..0x4DB0, 0x4E10..0x9FF0, 0xAC10..0xD790, 0xE010..0xF8F0, 0x1_7010..0x1_8AF0, 0x2_0010..0x2_FFF0];
    let ends = [0x2_A6D0..0x2_A710, 0x2_B730..0x2_B750, 0x2_B810..0x2_B930, 0x2_CEA0..0x2_CEB0, 0x2_F800..0x2_FA20];
    let stands = move |code: &u32| {
        code.is_multiple_of(64)
            || ends.iter().any(|end| end.contains(code))
            || !alike.iter().any(|block| block.contains(code))
    };
    (0..0x3_0000).chain(0xE_0000..0xE_0200).filter(stands).filter_map(char::from_u32)
}

/// The bundled tokenizer with a vocabulary that shows what became of every character: each is a piece of its own.
fn spelling() -> Value {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "##ing", "e\u{301}", "##\u{1100}\u{1161}"];
    let single = characters().flat_map(|c| [c.to_string(), format!("##{c}")]);
    let words = special.into_iter().map(str::to_owned).chain(single);
    let mut file = bundled();
    file["model"]["vocab"] = words.enumerate().map(|(id, word)| (word, Value::from(id))).collect();
    file
}

/// One tokenizer, as ours and as the library's.
struct Both {
    ours: WordPiece,
    theirs: Tokenizer,
}

impl Both {
    fn new(file: &Value, max_tokens: usize) -> Self {
        let mut theirs = library(file);
        let ours = WordPiece::new(&theirs, max_tokens).expect("because it is of BERT's kind");
        let truncation = TruncationParams {
            direction: TruncationDirection::Right,
            max_length: max_tokens,
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
        };
        theirs.with_padding(None).with_truncation(Some(truncation)).unwrap();
        Self { ours, theirs }
    }

    /// The tokens of `text`, once ours are the library's.
    fn tokens(&self, text: &str) -> Tokens {
        let theirs = self.theirs.encode_fast(text, true).unwrap();
        let expected = Tokens { ids: theirs.get_ids().to_vec(), truncated: !theirs.get_overflowing().is_empty() };
        let ours = self.ours.encode(text);
        assert_eq!(ours, expected, "tokens of {text:?}, ours left, the library's right");
        ours
    }

    fn ids(&self, text: &str) -> Vec<u32> {
        self.tokens(text).ids
    }
}

fn library(file: &Value) -> Tokenizer {
    Tokenizer::from_bytes(serde_json::to_vec(file).unwrap()).unwrap()
}

fn with(mut file: Value, changes: &[(&str, Value)]) -> Value {
    for (pointer, value) in changes {
        *file.pointer_mut(pointer).unwrap() = value.clone();
    }
    file
}

/// Every option of the normalizer, each way.
fn normalizers(file: &Value) -> Vec<Value> {
    let options = [
        (true, true, Value::Null, true),
        (true, true, Value::Null, false),
        (true, false, json!(false), true),
        (false, true, json!(true), false),
        (false, false, json!(true), true),
    ];
    let normalizer = |(clean, chinese, strip, lower)| {
        json!({
            "type": "BertNormalizer", "clean_text": clean, "handle_chinese_chars": chinese,
            "strip_accents": strip, "lowercase": lower,
        })
    };
    options.map(|options| with(file.clone(), &[("/normalizer", normalizer(options))])).into()
}

/// What fits between the special tokens where nothing is to be truncated.
const SPELLED: usize = 1 << 20;

/// Every kind of normalizer with the bundled vocabulary, for texts that are truncated, and with the spelling one.
fn kinds() -> &'static [Both] {
    static KINDS: OnceLock<Vec<Both>> = OnceLock::new();
    let build = || {
        let truncating = normalizers(&bundled()).into_iter().zip([256, 9, 1000, 20, 5]);
        let spelling = normalizers(&spelling()).into_iter().map(|file| (file, SPELLED + 2));
        truncating.chain(spelling).map(|(file, max_tokens)| Both::new(&file, max_tokens)).collect()
    };
    KINDS.get_or_init(build)
}

#[test]
fn known_sentences_have_known_ids() {
    let both = Both::new(&bundled(), 256);
    assert_eq!(both.ids("Hello, WORLD!"), [101, 7592, 1010, 2088, 999, 102]);
    assert_eq!(both.ids("naïve cafe\u{301}"), both.ids("naive cafe"));
    assert_eq!(both.ids("unaffable"), [101, 14477, 20961, 3468, 102]);
    assert_eq!(both.ids("a\u{0}b\u{fffd}c\u{c}d\u{85}e"), both.ids("abcde"), "because they are dropped");
    assert_eq!(both.ids("a\u{a0}b\u{3000}c\u{2028}d"), both.ids("a b c d"));
    assert_eq!(both.ids(""), [101, 102]);
    assert_eq!(both.ids(" \t\r\n"), [101, 102]);
}

#[test]
fn texts_of_many_scripts_have_the_ids_of_the_library() {
    let texts = [
        "Всё смешалось в доме Облонских — ЙЁ и\u{306}",
        "Ὦ ξεῖν’, ἀγγέλλειν ΛΑΚΕΔΑΙΜΟΝΊΟΙΣ",
        "בְּרֵאשִׁית בָּרָא",
        "لَا إِلٰهَ، «نَعَمْ»؟",
        "सत्यमेव जयते। क़ ख़",
        "বাংলা কো কৌ ড়",
        "தமிழ் கொ கோ",
        "ภาษาไทยกำลัง",
        "ພາສາລາວ",
        "ខ្មែរ",
        "ქართული ᲥᲐᲠᲗᲣᲚᲘ",
        "Հայերեն և",
        "한국어 각힣 ㄱㅏ",
        "日本語のカタカナ・がぎ ﾊﾟ",
        "中文，标点。豈更𠀀𪜀",
        "አማርኛ ።",
        "ᏣᎳᎩ ꭰꭱ",
        "မြန်မာ",
        "བོད་ཡིག།",
        "Tiếng Việt ệ Ặ",
        "İstanbul ıI ŞİŞLİ",
        "Straße ẞ ﬁ Å K Ω",
        "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐐀𐐨",
        "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪 #️⃣",
        "\u{301}\u{323}lone \u{302e}\u{1d165}\u{1d16d} marks",
        "\u{feff}BOM\u{200b}zero\u{ad}soft",
    ];
    for both in kinds() {
        for text in texts {
            both.tokens(text);
        }
        both.tokens(&texts.join(" "));
        both.tokens(&texts.concat());
    }
}

/// Every character alone, before, between and after letters, and around marks that are reordered.
#[test]
fn every_character_becomes_what_the_library_makes_of_it() {
    let characters: Vec<char> = characters().collect();
    kinds().par_iter().filter(|both| both.ours.n_inside == SPELLED).for_each(|both| {
        for few in characters.chunks(1000) {
            let contexts = few.iter().map(|c| format!("{c} a{c}b{c}\u{301}{c}\u{302e}{c}\u{1d165}\u{59a}.{c} "));
            both.tokens(&contexts.collect::<String>());
        }
    });
}

#[test]
fn added_tokens_are_found_wherever_they_stand() {
    let both = Both::new(&bundled(), 256);
    assert_eq!(both.ids("a [SEP] b"), [101, 1037, 102, 1038, 102]);
    assert_eq!(both.ids("a[MASK]b"), [101, 1037, 103, 1038, 102]);
    assert_eq!(both.ids("é[CLS][CLS]é"), [101, 1041, 101, 101, 1041, 102]);
    for text in
        ["[[SEP]]", "[sep]", "[SE\0P]", "[SEP", "[", "[UNK][PAD]", "\u{301}[SEP]\u{301}", "x\u{85}[MASK]\u{85}y"]
    {
        both.tokens(text);
    }
}

#[test]
fn the_longest_of_several_added_tokens_is_taken() {
    let mut file = bundled();
    for content in ["[SEP]]", "<x>", "<x> y", "[é]"] {
        let token = json!({
            "id": 0, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": false,
        });
        file["added_tokens"].as_array_mut().unwrap().push(token);
    }
    let both = Both::new(&file, 256);
    assert_eq!(both.ids("[SEP]][SEP]"), [101, 30522, 102, 102]);
    assert_eq!(both.ids("<x> y<x> z"), [101, 30524, 30523, 1062, 102]);
    assert_eq!(both.ids("a[é]a"), [101, 1037, 30525, 1037, 102]);
}

#[test]
fn texts_are_cut_where_the_library_cuts_them() {
    for max_tokens in [2, 3, 4, 7, 256] {
        let both = Both::new(&bundled(), max_tokens);
        let n_inside = max_tokens - 2;
        for n in [n_inside.saturating_sub(1), n_inside, n_inside + 1, 2 * n_inside + 5] {
            for word in ["word ", "word,", "é ", "中", "[SEP]", "unaffable "] {
                let tokens = both.tokens(&word.repeat(n));
                let n_tokens = if word == "word," {
                    2 * n
                } else if word == "unaffable " {
                    3 * n
                } else {
                    n
                };
                assert_eq!(tokens.truncated, n_inside < n_tokens, "{n} times {word:?}, at most {max_tokens}");
                assert_eq!(tokens.ids.len(), n_tokens.min(n_inside) + 2);
            }
        }
        assert!(!both.tokens("word \u{0} \u{301}").truncated || max_tokens < 3, "because nothing follows the word");
    }
}

#[test]
fn words_past_the_longest_that_is_known_are_unknown() {
    let both = Both::new(&bundled(), 256);
    assert_eq!(both.ids(&"a".repeat(101)), [101, 100, 102]);
    assert_eq!(both.ids(&"é".repeat(101)), [101, 100, 102]);
    assert!(!both.ids(&"a".repeat(100)).contains(&100));
    assert!(!both.ids(&"é".repeat(100)).contains(&100));
    both.tokens(&"x".repeat(100_000));
    both.tokens(&"\u{1f600}".repeat(1000));
}

#[test]
fn other_settings_of_the_model_are_followed() {
    for max_chars in [0, 1, 5] {
        for prefix in ["##", "@", "t", ""] {
            let changes = [
                ("/model/max_input_chars_per_word", json!(max_chars)),
                ("/model/continuing_subword_prefix", json!(prefix)),
                ("/model/unk_token", json!("the")),
            ];
            let both = Both::new(&with(bundled(), &changes), 256);
            for text in ["the cat sat", "tthe tether athe a@e", "Ünïcödé ß", "[UNK] a"] {
                both.tokens(text);
            }
        }
    }
    let bert = json!({"type": "BertProcessing", "sep": ["[SEP]", 7], "cls": ["[CLS]", 8]});
    let both = Both::new(&with(bundled(), &[("/post_processor", bert)]), 256);
    assert_eq!(both.ids("a"), [8, 1037, 7]);
}

#[test]
fn tokenizers_of_another_kind_are_left_to_the_library() {
    let mask = "/added_tokens/4";
    let changes = [
        ("/normalizer", Value::Null),
        ("/normalizer", json!({"type": "Lowercase"})),
        ("/pre_tokenizer", Value::Null),
        ("/pre_tokenizer", json!({"type": "Whitespace"})),
        ("/post_processor", Value::Null),
        (
            "/post_processor",
            json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}),
        ),
        ("/model", json!({"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"})),
        ("/model/unk_token", json!("no such word")),
        (&format!("{mask}/lstrip"), json!(true)),
        (&format!("{mask}/rstrip"), json!(true)),
        (&format!("{mask}/single_word"), json!(true)),
        (&format!("{mask}/normalized"), json!(true)),
        (&format!("{mask}/content"), json!("mask")),
        (&format!("{mask}/content"), json!(" mask")),
        (&format!("{mask}/content"), json!("é")),
    ];
    assert!(WordPiece::new(&library(&bundled()), 256).is_some());
    assert!(WordPiece::new(&library(&bundled()), 1).is_none(), "because [CLS] and [SEP] are two");
    for (pointer, value) in changes {
        let file = with(bundled(), &[(pointer, value.clone())]);
        assert!(WordPiece::new(&library(&file), 256).is_none(), "{pointer} {value}");
    }
}

/// Texts of parts that mean something to a tokenizer, and of any characters.
fn texts() -> impl Strategy<Value = String> {
    // Parts are apart at "|".
    let controls =
        " |\t|\n|\r|\u{b}|\u{c}|\u{1c}|\0|\u{7f}|\u{85}|\u{a0}|\u{ad}|\u{2028}|\u{3000}|\u{fffd}|\u{feff}|\u{e0001}";
    let marks = "\u{200d}|\u{fe0f}|\u{301}|\u{323}|\u{302e}|\u{1d165}|\u{1d16d}|\u{94d}|\u{1bab}|\u{1e08f}|\u{10eab}";
    let ascii = "a|The|ING|##ing|un|aff|1999|.|,|'|$|[|]|[SEP]|[MASK]|[SE";
    let others = "İ|ẞ|Σ|é|Å|\u{212b}|\u{37e}|ﬁ|각|中|豈|が|\u{2f800}|ي|שׁ|क़|கொ|👩|🇩|—|“";
    let parts: Vec<&str> = [controls, marks, ascii, others].into_iter().flat_map(|parts| parts.split('|')).collect();
    let ascii = any::<u8>().prop_map(|byte| char::from(byte % 128).to_string());
    let any = any::<char>().prop_map(String::from);
    let part = prop_oneof![6 => prop::sample::select(parts).prop_map(str::to_owned), 2 => ascii, 1 => any];
    prop::collection::vec(part, 0..60).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_text_has_the_ids_of_the_library(text in texts()) {
        for both in kinds() {
            both.tokens(&text);
        }
    }
}
