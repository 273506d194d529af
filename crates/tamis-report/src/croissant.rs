//! What an audit measured as metadata in Croissant 1.1 (<https://mlcommons.org/croissant>) with its vocabulary for
//! responsible AI, version 1.0.
//!
//! Only what was measured is written. What begins with [`OURS`] is ours and written anew; all else belongs to people and
//! stays as it is.

use serde_json::{Map, Value as Json, json};

use crate::card::{Measured, label_estimate, measures};
use crate::machine::percent_encoded;
use crate::prose::{interval, percent};
use crate::wire::v1::{Audit, CheckOutcome, CheckRecord, SplitRole};

/// What texts and descriptions of ours begin with.
pub const OURS: &str = "tamis audit: ";

/// Labels that are listed; `audit.json` has all.
const MAX_LABELS: usize = 1_000;

/// What the specification wants and no audit can know.
const HUMAN: [&str; 6] = ["name", "description", "license", "url", "creator", "datePublished"];

/// Terms of Croissant that stand in its context under their own name.
const TERMS: [&str; 32] = [
    "annotation",
    "arrayShape",
    "citeAs",
    "column",
    "containedIn",
    "equivalentProperty",
    "excludes",
    "extract",
    "field",
    "fileObject",
    "fileProperty",
    "fileSet",
    "format",
    "includes",
    "isArray",
    "isEnumeration",
    "isLiveDataset",
    "jsonPath",
    "key",
    "md5",
    "parentField",
    "path",
    "recordSet",
    "references",
    "regex",
    "repeated",
    "replace",
    "samplingRate",
    "separator",
    "source",
    "subField",
    "transform",
];

/// The data as they were read.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// Files that hold many samples, or belong to the dataset beside them.
    pub files: Vec<SourceFile>,
    /// Files with one sample each, as patterns, one set for each type.
    pub sets: Vec<SourceSet>,
    /// Columns of the tables among the files, in order.
    pub columns: Vec<SourceColumn>,
}

/// A file.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Where it is, relative to the metadata where it can be.
    pub url: String,
    /// Its media type.
    pub media: &'static str,
    /// Bytes.
    pub size: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// BLAKE3 in hexadecimal, by which the audit knows it.
    pub blake3: String,
    /// Whether its rows are samples.
    pub is_table: bool,
}

/// Files of one type with one sample each.
#[derive(Clone, Debug)]
pub struct SourceSet {
    /// Patterns of their places.
    pub includes: Vec<String>,
    /// Their media type.
    pub media: &'static str,
    /// How many they are.
    pub n: usize,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceColumn {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub role: Role,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The key of a sample.
    Key,
    /// A text.
    Text,
    /// The content of an image.
    Image,
    /// The given label.
    Label,
    /// The split.
    Split,
    /// What tamis does not interpret.
    Other,
}

/// `old`, or an empty description, with all that was measured; and what the specification wants that only people can say.
///
/// `n_independent` is the number of families among the samples that can be read.
#[must_use]
pub fn merged(
    old: Option<Map<String, Json>>,
    audit: &Audit,
    source: &Source,
    n_independent: u64,
) -> (Map<String, Json>, Vec<&'static str>) {
    let mut out = old.unwrap_or_default();
    put_context(&mut out);
    out.entry("@type").or_insert_with(|| json!("sc:Dataset"));
    put_conforms(&mut out);
    for (name, texts) in statements(audit, n_independent) {
        put_texts(&mut out, name, texts);
    }
    let distribution = distribution(source);
    let described = put_ours(&mut out, "distribution", distribution);
    // Records of files that people describe otherwise are theirs to describe.
    let records = if described { samples(audit, source) } else { Vec::new() };
    put_ours(&mut out, "recordSet", records.into_iter().chain(tables(audit)).collect());
    let missing = HUMAN.into_iter().filter(|name| !out.contains_key(*name)).collect();
    (out, missing)
}

/// Adds to the context what is used here and not there; what is there stays.
fn put_context(out: &mut Map<String, Json>) {
    let exceptions = json!({
        "@language": "en",
        "@vocab": "https://schema.org/",
        "conformsTo": "dct:conformsTo",
        "cr": "http://mlcommons.org/croissant/",
        "data": { "@id": "cr:data", "@type": "@json" },
        "dataType": { "@id": "cr:dataType", "@type": "@vocab" },
        "dct": "http://purl.org/dc/terms/",
        "description": { "@container": "@language" },
        "examples": { "@id": "cr:examples", "@type": "@json" },
        "name": { "@container": "@language" },
        "prov": "http://www.w3.org/ns/prov#",
        "rai": "http://mlcommons.org/croissant/RAI/",
        "sc": "https://schema.org/",
    });
    let Json::Object(mut ours) = exceptions else { unreachable!("it is written above") };
    ours.extend(TERMS.map(|term| (term.to_owned(), json!(format!("cr:{term}")))));
    ours.sort_keys();
    // In Croissant 1.0 a name is a plain text; a context that is there has decided.
    if out.contains_key("@context") {
        ours.retain(|term, _| !["name", "description"].contains(&term.as_str()));
    }
    let context = out.entry("@context").or_insert_with(|| Json::Object(Map::new()));
    // A context by its address, or a list of several, is for people to change.
    if let Json::Object(context) = context {
        for (name, meaning) in ours {
            context.entry(name).or_insert(meaning);
        }
    }
}

fn put_conforms(out: &mut Map<String, Json>) {
    let mut all = listed(out.get("conformsTo"));
    if !all.iter().any(|it| it.as_str().is_some_and(|it| it.starts_with("http://mlcommons.org/croissant/1."))) {
        all.push(json!("http://mlcommons.org/croissant/1.1"));
    }
    let rai = json!("http://mlcommons.org/croissant/RAI/1.0");
    if !all.contains(&rai) {
        all.push(rai);
    }
    out.insert("conformsTo".to_owned(), Json::Array(all));
}

/// The values of a property, which may be one, several, or none.
fn listed(value: Option<&Json>) -> Vec<Json> {
    match value {
        None => Vec::new(),
        Some(Json::Array(all)) => all.clone(),
        Some(one) => vec![one.clone()],
    }
}

/// Puts our texts beside those of people, in place of our former ones.
fn put_texts(out: &mut Map<String, Json>, name: &str, texts: Vec<String>) {
    let ours = texts.into_iter().map(|text| json!(format!("{OURS}{text}")));
    let mut all = listed(out.get(name));
    all.retain(|it| !it.as_str().is_some_and(|it| it.starts_with(OURS)));
    all.extend(ours);
    if all.is_empty() {
        out.shift_remove(name);
        return;
    }
    // The one property that holds one text only.
    if name == MISSING_DATA && 1 < all.len() {
        return;
    }
    let value = if name == MISSING_DATA { all.remove(0) } else { Json::Array(all) };
    out.insert(name.to_owned(), value);
}

/// Writes a list as long as all entries in it are ours; says whether it did.
fn put_ours(out: &mut Map<String, Json>, name: &str, entries: Vec<Json>) -> bool {
    let is_ours = |it: &Json| it["description"].as_str().is_some_and(|it| it.starts_with(OURS));
    let old = out.get(name).and_then(Json::as_array);
    if old.is_some_and(|old| !old.iter().all(is_ours)) || (old.is_none() && out.contains_key(name)) {
        return false;
    }
    out.insert(name.to_owned(), Json::Array(entries));
    true
}

const MISSING_DATA: &str = "rai:dataCollectionMissingData";

/// What was measured of each property that an audit can say something about.
fn statements(audit: &Audit, n_independent: u64) -> Vec<(&'static str, Vec<String>)> {
    let dataset = &audit.dataset;
    let states = dataset.states;
    let labeled: u64 = dataset.labels.iter().map(|it| it.samples).sum();
    let mut missing = format!(
        "of {} samples {} cannot be read and {} hold nothing",
        dataset.n_samples, states.unreadable, states.empty
    );
    if !dataset.labels.is_empty() {
        missing += &format!("; {} have no label", dataset.n_samples.saturating_sub(labeled));
    }
    let mut limitations: Vec<String> = audit.checks.iter().map(limitation).collect();
    limitations.push(format!(
        "{} samples that can be read make {n_independent} families of identical ones and copies",
        states.ok
    ));
    let biases = match dataset.labels.is_empty() {
        true => Vec::new(),
        false => vec![balance(audit, n_independent, labeled)],
    };
    let analysis = label_estimate(audit).into_iter().collect();
    vec![
        (MISSING_DATA, vec![missing]),
        ("rai:dataLimitations", limitations),
        ("rai:dataBiases", biases),
        ("rai:dataAnnotationAnalysis", analysis),
    ]
}

fn limitation(check: &CheckRecord) -> String {
    let reason = check.reason.as_deref().unwrap_or_default();
    let number = |n: Option<u64>| n.unwrap_or(0);
    match (check.outcome, check.rate, check.interval) {
        (CheckOutcome::Skipped, ..) => format!("{}: not measured, skipped: {reason}", check.id),
        (CheckOutcome::Failed, ..) => format!("{}: not measured, failed: {reason}", check.id),
        (_, Some(rate), Some([low, high])) => format!(
            "{}: {} of {} samples, {} (95 % interval {})",
            check.id,
            number(check.flagged),
            number(check.population),
            percent(rate),
            interval([low, high])
        ),
        _ => format!("{}: not applicable, there was nothing to look at", check.id),
    }
}

fn balance(audit: &Audit, n_independent: u64, labeled: u64) -> String {
    let labels = &audit.dataset.labels;
    let sizes = || labels.iter().map(|it| it.samples);
    let (least, most) = (sizes().min().unwrap_or(0), sizes().max().unwrap_or(0));
    let found = measures(audit, n_independent).into_iter().find(|it| it.iso.starts_with("Bal-ML-8"));
    let distance = match found.map(|it| it.value) {
        Some(Measured::Value { value, .. }) => format!(", {value} from equal shares"),
        _ => String::new(),
    };
    format!(
        "{labeled} labeled samples of {} labels: {least} of the rarest, {most} of the most frequent{distance}",
        labels.len()
    )
}

fn distribution(source: &Source) -> Vec<Json> {
    let file = |(idx, file): (usize, &SourceFile)| {
        json!({
            "@type": "cr:FileObject",
            "@id": format!("file-{}", idx + 1),
            "name": file.url,
            "description": format!("{OURS}the bytes that were audited, BLAKE3 {}", file.blake3),
            "contentUrl": file.url,
            "contentSize": format!("{} B", file.size),
            "encodingFormat": file.media,
            "sha256": file.sha256,
        })
    };
    let set = |id: String, media: &str, includes: &[String], n: usize| {
        json!({
            "@type": "cr:FileSet",
            "@id": id,
            "description": format!("{OURS}{n} files, whose hashes are in audit.json"),
            "encodingFormat": media,
            "includes": includes,
        })
    };
    let files = source.files.iter().enumerate().map(file);
    let sets = source.sets.iter().enumerate().map(|(idx, it)| set(set_id(idx), it.media, &it.includes, it.n));
    let tables = tables_by_type(source).into_iter().filter(|(_, files)| 1 < files.len());
    let tables = tables.map(|(media, files)| {
        let urls: Vec<String> = files.iter().map(|idx| source.files[*idx].url.clone()).collect();
        set(table_id(media), media, &urls, urls.len())
    });
    files.chain(sets).chain(tables).collect()
}

fn set_id(idx: usize) -> String {
    format!("files-{}", idx + 1)
}

fn table_id(media: &str) -> String {
    format!("tables-{}", media.rsplit('/').next().unwrap_or(media))
}

/// Places of the tables in the list of files, by type.
fn tables_by_type(source: &Source) -> Vec<(&'static str, Vec<usize>)> {
    let mut types: Vec<(&'static str, Vec<usize>)> = Vec::new();
    for (idx, file) in source.files.iter().enumerate().filter(|(_, it)| it.is_table) {
        match types.iter_mut().find(|it| it.0 == file.media) {
            Some((_, files)) => files.push(idx),
            None => types.push((file.media, vec![idx])),
        }
    }
    types
}

/// The records of tables and of files with one sample each.
fn samples(audit: &Audit, source: &Source) -> Vec<Json> {
    let mut sets: Vec<Vec<Json>> = Vec::new();
    for (media, files) in tables_by_type(source) {
        let from = match files.as_slice() {
            [only] => json!({ "fileObject": { "@id": format!("file-{}", only + 1) } }),
            _ => json!({ "fileSet": { "@id": table_id(media) } }),
        };
        let id = record_id(sets.len());
        let line = [SourceColumn { name: "line".to_owned(), role: Role::Text }];
        let is_lines = media == "text/plain";
        let columns = if is_lines { &line[..] } else { &source.columns };
        let field = |column: &SourceColumn| {
            let extract = if is_lines { json!({ "fileProperty": "lines" }) } else { json!({ "column": column.name }) };
            field(&id, column, &from, extract)
        };
        sets.push(columns.iter().map(field).collect());
    }
    for idx in 0..source.sets.len() {
        let id = record_id(sets.len());
        let from = json!({ "fileSet": { "@id": set_id(idx) } });
        let role = if audit.dataset.modality == "text" { Role::Text } else { Role::Image };
        let column = |name: &str, role| SourceColumn { name: name.to_owned(), role };
        sets.push(vec![
            field(&id, &column("path", Role::Key), &from, json!({ "fileProperty": "fullpath" })),
            field(&id, &column("content", role), &from, json!({ "fileProperty": "content" })),
        ]);
    }
    let set = |(idx, fields): (usize, Vec<Json>)| {
        json!({
            "@type": "cr:RecordSet",
            "@id": record_id(idx),
            "name": record_id(idx),
            "description": format!("{OURS}the samples as they were read"),
            "field": fields,
        })
    };
    sets.into_iter().filter(|fields| !fields.is_empty()).enumerate().map(set).collect()
}

fn record_id(idx: usize) -> String {
    if idx == 0 { "samples".to_owned() } else { format!("samples-{}", idx + 1) }
}

fn field(record: &str, column: &SourceColumn, from: &Json, extract: Json) -> Json {
    let types = match column.role {
        Role::Label => json!(["sc:Text", "cr:Label"]),
        Role::Split => json!(["sc:Text", "cr:Split"]),
        Role::Image => json!("sc:ImageObject"),
        Role::Key | Role::Text | Role::Other => json!("sc:Text"),
    };
    let mut source = from.clone();
    source["extract"] = extract;
    json!({
        "@type": "cr:Field",
        "@id": format!("{record}/{}", percent_encoded(column.name.as_bytes())),
        "name": column.name,
        "dataType": types,
        "source": source,
    })
}

/// Splits, labels and the results of the checks, with their numbers.
fn tables(audit: &Audit) -> Vec<Json> {
    let splits = audit.dataset.splits.iter().map(|it| {
        let role = match it.role {
            SplitRole::Train => json!("cr:TrainingSplit"),
            SplitRole::Validation => json!("cr:ValidationSplit"),
            SplitRole::Test => json!("cr:TestSplit"),
            SplitRole::Benchmark | SplitRole::Reference => Json::Null,
        };
        vec![json!(it.name), role, json!(it.samples)]
    });
    let columns = [("name", "sc:Text"), ("url", "sc:URL"), ("samples", "sc:Integer")];
    let mut tables =
        vec![table("splits", "the splits with their samples", Some("cr:Split"), &columns, splits.collect())];
    if !audit.dataset.labels.is_empty() {
        let labels = audit.dataset.labels.iter().take(MAX_LABELS).map(|it| vec![json!(it.name), json!(it.samples)]);
        let columns = [("name", "sc:Text"), ("samples", "sc:Integer")];
        tables.push(table(
            "labels",
            "the labels with their samples",
            Some("sc:Enumeration"),
            &columns,
            labels.collect(),
        ));
    }
    let columns = [
        ("check", "sc:Text"),
        ("outcome", "sc:Text"),
        ("reason", "sc:Text"),
        ("flagged", "sc:Integer"),
        ("population", "sc:Integer"),
        ("rate", "sc:Float"),
        ("low", "sc:Float"),
        ("high", "sc:Float"),
        ("threshold", "sc:Float"),
        ("threshold_source", "sc:Text"),
    ];
    let check = |it: &CheckRecord| {
        let [low, high] = it.interval.map_or([Json::Null, Json::Null], |it| it.map(Json::from));
        let (flagged, population) = (json!(it.flagged), json!(it.population));
        let numbers = [flagged, population, json!(it.rate), low, high, json!(it.threshold), json!(it.threshold_source)];
        [json!(it.id), json!(it.outcome), json!(it.reason)].into_iter().chain(numbers).collect()
    };
    let rows = audit.checks.iter().map(check).collect();
    let mut checks =
        table("audit", "what each check found, with Wilson's 95 % interval of the rate", None, &columns, rows);
    let tool = format!("{} {}", audit.tool.name, audit.tool.version);
    checks["prov:wasDerivedFrom"] = json!({ "@id": "audit.json" });
    checks["prov:wasGeneratedBy"] = json!({
        "@type": "prov:Activity",
        "prov:label": format!("{OURS}dataset with BLAKE3 {}", audit.dataset.hash),
        "prov:wasAssociatedWith": { "@type": "prov:SoftwareAgent", "prov:label": tool },
    });
    tables.push(checks);
    tables
}

/// Records that stand in the description itself.
fn table(id: &str, what: &str, kind: Option<&str>, columns: &[(&str, &str)], rows: Vec<Vec<Json>>) -> Json {
    let field = |(name, kind): &(&str, &str)| json!({ "@type": "cr:Field", "@id": format!("{id}/{name}"), "name": name, "dataType": kind });
    let row = |values: Vec<Json>| {
        let cells = columns.iter().zip(values).map(|((name, _), value)| (format!("{id}/{name}"), value));
        Json::Object(cells.collect())
    };
    let mut set = json!({
        "@type": "cr:RecordSet",
        "@id": id,
        "name": id,
        "description": format!("{OURS}{what}"),
        "key": { "@id": format!("{id}/{}", columns[0].0) },
        "field": columns.iter().map(field).collect::<Vec<_>>(),
        "data": rows.into_iter().map(row).collect::<Vec<_>>(),
    });
    if let Some(kind) = kind {
        set["dataType"] = json!(kind);
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn audit() -> Audit {
        Audit::from_report(&testing::fixture().report()).unwrap()
    }

    fn source() -> Source {
        let file = |url: &str| SourceFile {
            url: url.to_owned(),
            media: "text/csv",
            size: 3,
            sha256: "00".to_owned(),
            blake3: "01".to_owned(),
            is_table: true,
        };
        let column = |name: &str, role| SourceColumn { name: name.to_owned(), role };
        let columns = vec![column("the text", Role::Text), column("label", Role::Label)];
        Source { files: vec![file("a.csv"), file("b.csv")], sets: Vec::new(), columns }
    }

    #[test]
    fn what_people_wrote_stays_and_what_was_measured_is_replaced() {
        let old = json!({
            "name": "Mails", "license": "mit", "rai:dataUseCases": "spam filters", "conformsTo": "http://mlcommons.org/croissant/1.0",
            "rai:dataLimitations": ["English only", "tamis audit: of last year"],
            "rai:dataCollectionMissingData": "none that we know of",
            "distribution": [{ "@type": "cr:FileObject", "@id": "mine" }],
        });
        let Json::Object(old) = old else { unreachable!() };
        let (new, missing) = merged(Some(old.clone()), &audit(), &source(), 5);
        for kept in ["name", "license", "rai:dataUseCases", "rai:dataCollectionMissingData", "distribution"] {
            assert_eq!(new[kept], old[kept], "{kept}");
        }
        assert_eq!(
            new["conformsTo"],
            json!(["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"])
        );
        let limitations = new["rai:dataLimitations"].as_array().unwrap();
        assert_eq!(limitations[0], "English only");
        assert!(!limitations.contains(&json!("tamis audit: of last year")) && 2 < limitations.len());
        // Samples of files that are described by people are not ours to describe.
        assert!(new["recordSet"].as_array().unwrap().iter().all(|it| it["@id"] != "samples"));
        assert_eq!(missing, ["description", "url", "creator", "datePublished"]);
        let (again, _) = merged(Some(new.clone()), &audit(), &source(), 5);
        assert_eq!(serde_json::to_string(&again).unwrap(), serde_json::to_string(&new).unwrap());
    }

    #[test]
    fn several_tables_of_a_type_are_one_set_with_a_field_for_each_column() {
        let (new, _) = merged(None, &audit(), &source(), 5);
        assert_eq!(new["distribution"].as_array().unwrap().len(), 3);
        assert_eq!(new["distribution"][2]["includes"], json!(["a.csv", "b.csv"]));
        let fields = new["recordSet"][0]["field"].as_array().unwrap();
        assert_eq!(fields[0]["@id"], "samples/the%20text");
        assert_eq!(fields[1]["dataType"], json!(["sc:Text", "cr:Label"]));
        assert_eq!(
            fields[1]["source"],
            json!({ "fileSet": { "@id": "tables-csv" }, "extract": { "column": "label" } })
        );
    }

    #[test]
    fn what_did_not_run_is_null_and_never_zero() {
        let audit = audit();
        let (new, _) = merged(None, &audit, &source(), 5);
        let sets = new["recordSet"].as_array().unwrap();
        let rows = sets.iter().find(|it| it["@id"] == "audit").unwrap()["data"].as_array().unwrap();
        assert_eq!(rows.len(), audit.checks.len());
        for (row, check) in rows.iter().zip(&audit.checks) {
            assert_eq!(row["audit/flagged"].is_null(), check.outcome != CheckOutcome::Ran, "{row}");
        }
    }
}
