//! Downloads from a hub that listens on this machine alone. There is no test of this kind in builds without the feature.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use tamis_embed::hub::sha256;

use crate::common::{Workspace, model_folder};

const REVISION: &str = "89abcdef0123456789abcdef0123456789abcdef";

/// A hub with one model, `org/name`: the bundled one, and files that nobody needs.
struct Server {
    endpoint: String,
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    /// Method and path of every request.
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let mut files = BTreeMap::new();
        for name in ["config.json", "tokenizer.json", "model.safetensors", "model.toml", "1_Pooling/config.json"] {
            files.insert(name.to_owned(), fs::read(Path::new(&model_folder()).join(name)).unwrap());
        }
        files.insert("README.md".to_owned(), b"nobody needs this".to_vec());
        files.insert("onnx/model.onnx".to_owned(), b"nor this".to_vec());
        let files = Arc::new(Mutex::new(files));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let shared = (Arc::clone(&files), Arc::clone(&requests));
        // It ends with the process of the tests.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &shared.0.lock().unwrap(), &shared.1);
            }
        });
        Self { endpoint, files, requests }
    }

    fn set(&self, file: &str, content: &[u8]) {
        self.files.lock().unwrap().insert(file.to_owned(), content.to_vec());
    }

    fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }

    /// Runs a command with this hub and `hub/` as the cache; the working folder becomes `[DIR]`.
    fn run(&self, work: &Workspace, args: &[&str]) -> (i32, String, String) {
        let mut command = work.command(args);
        command
            .env("HF_ENDPOINT", &self.endpoint)
            .env("HF_HOME", work.path("home"))
            .env("HF_HUB_CACHE", work.path("hub"));
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| {
            String::from_utf8(bytes).unwrap().replace(work.path("").to_str().unwrap().trim_end_matches('/'), "[DIR]")
        };
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }
}

/// How a file begins that the hub promises to be another one.
const DAMAGED: &[u8] = b"damaged";

/// Answers one request as the hub does.
fn answer(mut stream: TcpStream, files: &BTreeMap<String, Vec<u8>>, requests: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    lines.by_ref().find(String::is_empty);
    let (method, path) = request.split_once(' ').unwrap();
    let path = path.split(' ').next().unwrap();
    requests.lock().unwrap().push(format!("{method} {path}"));
    let file = path.strip_prefix(&format!("/org/name/resolve/{REVISION}/"));
    let info = ["main", REVISION].iter().any(|it| path == format!("/api/models/org/name/revision/{it}"));
    let (status, body, etag) = match file.and_then(|it| files.get(it)) {
        Some(content) if content.starts_with(DAMAGED) => ("200 OK", content.clone(), sha256(b"as it should be")),
        Some(content) => ("200 OK", content.clone(), sha256(content)),
        None if info => {
            let siblings: Vec<_> = files.keys().map(|name| serde_json::json!({ "rfilename": name })).collect();
            let body = serde_json::json!({ "id": "org/name", "sha": REVISION, "siblings": siblings });
            ("200 OK", body.to_string().into_bytes(), String::new())
        }
        None => ("404 Not Found", Vec::new(), String::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: \"{etag}\"\r\nX-Repo-Commit: {REVISION}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    if method == "GET" {
        stream.write_all(&body).unwrap();
    }
}

#[test]
fn a_pull_fetches_what_is_read_pins_it_and_is_found_by_name() {
    let (server, work) = (Server::start(), Workspace::new());
    let (status, stdout, stderr) = server.run(&work, &["models", "pull", "org/name", "--quiet"]);
    assert_eq!((status, stderr.as_str()), (0, ""), "{stdout}");
    let size: usize = {
        let files = server.files.lock().unwrap();
        files
            .iter()
            .filter(|(name, _)| !name.ends_with(".md") && !name.ends_with(".onnx"))
            .map(|(_, it)| it.len())
            .sum()
    };
    let folder = format!("[DIR]/hub/models--org--name/snapshots/{REVISION}");
    let said = format!(
        "model          org/name\nrevision       {REVISION}\nfiles          5, {size} bytes, SHA-256 pinned\nfolder         {folder}\n"
    );
    assert_eq!(stdout, said);
    let lock = fs::read_to_string(work.path("hub/tamis/models--org--name.json")).unwrap();
    let lock: serde_json::Value = serde_json::from_str(&lock).unwrap();
    assert_eq!((&lock["repo"], &lock["revision"]), (&"org/name".into(), &REVISION.into()));
    let weights = sha256(&server.files.lock().unwrap()["model.safetensors"]);
    assert_eq!(lock["files"]["model.safetensors"]["sha256"], weights);
    let requests = server.take_requests();
    assert!(!requests.iter().any(|it| it.contains("README") || it.contains("onnx")), "{requests:?}");

    let (status, stdout, stderr) = server.run(&work, &["models", "verify", "org/name"]);
    assert_eq!((status, stderr.as_str()), (0, ""));
    assert!(stdout.contains("\nfiles          5 as pinned by the first pull\ntrial          works ("), "{stdout}");
    assert_eq!(server.take_requests(), [""; 0], "what was pulled is used without the network");

    let (status, ..) = server.run(&work, &["models", "pull", "org/name", "--quiet"]);
    let requests = server.take_requests();
    assert_eq!((status, requests.len()), (0, 1), "a second pull asks for the list alone: {requests:?}");
    assert_eq!(requests[0], format!("GET /api/models/org/name/revision/{REVISION}"), "at the commit of the first");
}

#[test]
fn a_pull_goes_on_where_it_was_and_refuses_what_is_not_what_was_pinned() {
    let (server, work) = (Server::start(), Workspace::new());
    assert_eq!(server.run(&work, &["models", "pull", "org/name", "--quiet"]).0, 0);
    let snapshot = work.path(&format!("hub/models--org--name/snapshots/{REVISION}"));
    server.take_requests();
    fs::remove_file(snapshot.join("config.json")).unwrap();
    server.set("config.json", b"{\"model_type\": \"bert\"}");
    let (status, _, stderr) = server.run(&work, &["models", "pull", "org/name", "--quiet"]);
    assert_eq!(status, 3, "{stderr}");
    assert!(stderr.starts_with("error: config.json of org/name has the SHA-256 "), "{stderr}");
    assert!(stderr.contains(" (the lock of the first pull)\n\nhint: "), "{stderr}");
    let requests = server.take_requests();
    assert!(!requests.iter().any(|it| it.contains("safetensors")), "the weights are there: {requests:?}");
}

#[test]
fn a_file_that_is_damaged_on_its_way_is_removed_and_fetched_again() {
    let (server, work) = (Server::start(), Workspace::new());
    let config = server.files.lock().unwrap()["config.json"].clone();
    server.set("config.json", DAMAGED);
    let (status, _, stderr) = server.run(&work, &["models", "pull", "org/name", "--quiet"]);
    assert_eq!(status, 3, "{stderr}");
    let expected = "error: config.json of org/name was damaged on its way, or in the cache, and was removed\n\n\
                    hint: pull the model again\n";
    assert_eq!(stderr, expected);
    assert!(!work.path(&format!("hub/models--org--name/snapshots/{REVISION}/config.json")).exists());
    server.set("config.json", &config);
    assert_eq!(server.run(&work, &["models", "pull", "org/name", "--quiet"]).0, 0);
}

#[test]
fn what_the_hub_does_not_have_is_named() {
    let (server, work) = (Server::start(), Workspace::new());
    let (status, _, stderr) = server.run(&work, &["models", "pull", "org/other", "--quiet"]);
    assert_eq!(status, 3, "{stderr}");
    assert!(stderr.starts_with("error: cannot fetch the list of files of org/other\ncaused by: "), "{stderr}");
    assert!(
        stderr.ends_with(
            "hint: get its files with `hf download org/other --local-dir DIR`, and name the folder with --model DIR\n"
        ),
        "{stderr}"
    );

    server.files.lock().unwrap().remove("model.safetensors");
    server.set("pytorch_model.bin", b"");
    let (status, _, stderr) = server.run(&work, &["models", "pull", "org/name", "--quiet"]);
    assert_eq!(status, 3, "{stderr}");
    assert!(
        stderr.starts_with("error: org/name has no model.safetensors, found pytorch_model.bin\n\nhint: save "),
        "{stderr}"
    );
}
