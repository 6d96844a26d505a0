//! The API under `/api`: who one is, what a repository is and holds, and what there is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::content::sha1_of;
use crate::files::{account, no_revision, open, visible};
use crate::http::{Request, Response, decoded, encoded};
use crate::publish;
use crate::server::Site;
use crate::world::{Commit, Entry, Files, Gated, Kind, Repository, World, card_data, date};

/// Answers whatever is no file's address.
pub(crate) fn answer(world: &mut World, site: &Site, request: &Request) -> Response {
    route(world, site, request).unwrap_or_else(|refusal| refusal)
}

fn route(world: &mut World, site: &Site, request: &Request) -> Result<Response, Response> {
    let parts: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
    if let Some(at) = parts.iter().position(|part| part.ends_with(".git")) {
        return publish::git(world, site, request, &parts[..=at], &parts[at + 1..]);
    }
    match (&*request.method, &parts[..]) {
        ("GET", ["api", "whoami-v2"]) => whoami(world, request),
        ("POST", ["api", "repos", "create"]) => publish::create(world, site, request),
        ("DELETE", ["api", "repos", "delete"]) => publish::delete(world, request),
        ("POST", ["api", "repos", "move"]) => publish::rename(world, request),
        ("POST", ["api", "validate-yaml"]) => Ok(validate_yaml(request)),
        ("POST", ["api", "complete_multipart"]) => publish::complete(world, request),
        ("GET", ["api", plural]) if Kind::of_plural(plural).is_some() => {
            let kind = Kind::of_plural(plural).expect("it was just seen");
            search(world, site, request, kind)
        }
        (method, ["api", plural, rest @ ..])
            if Kind::of_plural(plural).is_some() && !rest.is_empty() =>
        {
            let kind = Kind::of_plural(plural).expect("it was just seen");
            let (id, rest) = split_id(world, kind, rest);
            let rest: Vec<String> = rest.iter().map(|part| decoded(part, false)).collect();
            let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
            match (method, &rest[..]) {
                ("POST", ["preupload", revision]) => {
                    publish::preupload(world, site, request, kind, &id, revision)
                }
                ("POST", ["commit", revision]) => {
                    publish::commit(world, site, request, kind, &id, revision)
                }
                ("POST", ["branch", branch]) => publish::branch(world, request, kind, &id, branch),
                ("POST", ["tag", revision]) => publish::tag(world, request, kind, &id, revision),
                ("PUT", ["settings"]) => publish::settings(world, request, kind, &id),
                _ => describe(world, site, request, kind, &id, &rest),
            }
        }
        _ => Err(Response::error(
            404,
            None,
            "Sorry, we can't find the page you are looking for.",
        )),
    }
}

/// The id in an address of the API, of one or two names, and what comes after it.
fn split_id<'p>(world: &World, kind: Kind, parts: &'p [&'p str]) -> (String, &'p [&'p str]) {
    const ACTIONS: [&str; 12] = [
        "revision",
        "tree",
        "paths-info",
        "refs",
        "commits",
        "preupload",
        "commit",
        "branch",
        "tag",
        "settings",
        "auth-check",
        "xet-read-token",
    ];
    let one = decoded(parts[0], false);
    let two = parts
        .get(1)
        .map(|name| format!("{one}/{}", decoded(name, false)));
    match two {
        Some(two) if world.repository(kind, &two).is_some() => (two, &parts[2..]),
        Some(two) if !ACTIONS.contains(&parts[1]) => (two, &parts[2..]),
        _ => (one, &parts[1..]),
    }
}

fn describe(
    world: &World,
    site: &Site,
    request: &Request,
    kind: Kind,
    id: &str,
    rest: &[&str],
) -> Result<Response, Response> {
    let repository = visible(world, request, kind, id)?;
    // Only the description of a gated repository is for everybody; its listing is, too.
    let at = |revision: &str| {
        let commit = repository
            .resolve(revision)
            .ok_or_else(|| no_revision(revision))?;
        Ok::<_, Response>((commit, &repository.commits[commit]))
    };
    match (&*request.method, rest) {
        ("GET" | "HEAD", []) => {
            let (name, commit) = at("main")?;
            Ok(Response::json(
                200,
                &info(repository, name, commit, request, true),
            ))
        }
        ("GET" | "HEAD", ["revision", revision @ ..]) if !revision.is_empty() => {
            let (name, commit) = at(&revision.join("/"))?;
            Ok(Response::json(
                200,
                &info(repository, name, commit, request, true),
            ))
        }
        ("GET" | "HEAD", ["tree", revision, folder @ ..]) => {
            let (_, commit) = at(revision)?;
            tree(site, request, repository, commit, &folder.join("/"))
        }
        ("POST", ["paths-info", revision]) => {
            let (_, commit) = at(revision)?;
            Ok(Response::json(
                200,
                &paths_info(request, repository, commit),
            ))
        }
        ("GET", ["refs"]) => Ok(Response::json(200, &refs(request, repository))),
        ("GET", ["commits", revision]) => {
            let (name, _) = at(revision)?;
            Ok(Response::json(200, &commits(repository, name)))
        }
        ("GET", ["auth-check"]) => {
            open(world, request, repository)?;
            Ok(Response::json(200, &json!({})))
        }
        _ => Err(Response::error(
            404,
            None,
            "Sorry, we can't find the page you are looking for.",
        )),
    }
}

fn whoami(world: &World, request: &Request) -> Result<Response, Response> {
    let Some(account) =
        account(world, request).map_err(|_| Response::error(401, None, "Invalid user token."))?
    else {
        return Err(Response::error(401, None, "Invalid username or password."));
    };
    let organizations: Vec<Value> = account
        .organizations
        .iter()
        .map(|name| {
            json!({
                "type": "org", "id": &sha1_of(name)[..24], "name": name, "fullname": name, "email": null,
                "canPay": false, "periodEnd": null, "isEnterprise": false, "avatarUrl": "/avatar.svg",
                "roleInOrg": "write",
            })
        })
        .collect();
    Ok(Response::json(
        200,
        &json!({
            "type": "user",
            "id": &sha1_of(&account.name)[..24],
            "name": account.name,
            "fullname": account.name,
            "email": format!("{}@example.org", account.name),
            "emailVerified": true,
            "canPay": false,
            "isPro": false,
            "periodEnd": null,
            "avatarUrl": "/avatar.svg",
            "orgs": organizations,
            "auth": {
                "type": "access_token",
                "accessToken": {
                    "displayName": format!("{} {}", account.name, account.role.name()),
                    "role": account.role.name(),
                    "createdAt": date(0),
                },
            },
        }),
    ))
}

/// Refuses what a list of metadata cannot be; the real one knows the whole schema.
fn validate_yaml(request: &Request) -> Response {
    let content = request
        .json()
        .and_then(|b| b["content"].as_str().map(str::to_owned));
    let Some(content) = content else {
        return Response::error(400, None, "\"content\" is required");
    };
    let mut lines = content.lines().skip_while(|line| line.is_empty());
    if lines.next() != Some("---") {
        return Response::json(
            200,
            &json!({"errors": [], "warnings": [{"message": "empty or missing yaml metadata in repo card"}]}),
        );
    }
    let mut lines = lines.take_while(|line| *line != "---");
    match lines.find(|line| {
        line.contains('\t') || (!line.starts_with([' ', '-', '#']) && !line.contains(':'))
    }) {
        Some(line) => Response::json(
            400,
            &json!({"errors": [{"message": format!("YAML Metadata Error: {line:?} is no member of a mapping")}], "warnings": []}),
        ),
        None => Response::json(200, &json!({"errors": [], "warnings": []})),
    }
}

/// The document that describes a repository at a commit. `whole` is the one of the repository's own address; listings
/// have less.
fn info(
    repository: &Repository,
    name: &str,
    commit: &Commit,
    request: &Request,
    whole: bool,
) -> Value {
    let flag = |name| {
        request
            .parameter(name)
            .is_some_and(|v| !matches!(&*v, "" | "0" | "false" | "False"))
    };
    let blobs = flag("blobs");
    let card = card(repository, &commit.files);
    let first = repository
        .commits
        .values()
        .map(|c| c.number)
        .min()
        .unwrap_or_default();
    let mut all = Map::new();
    let mut put = |name: &str, value: Value| drop(all.insert(name.to_owned(), value));
    put("_id", json!(&sha1_of(&repository.id)[..24]));
    put("id", json!(repository.id));
    if repository.kind == Kind::Model {
        put("modelId", json!(repository.id));
    }
    put("author", json!(repository.namespace()));
    put("sha", json!(name));
    put("lastModified", json!(date(commit.number)));
    put("createdAt", json!(date(first)));
    put("private", json!(repository.private));
    put(
        "gated",
        match repository.gated {
            Gated::No => json!(false),
            Gated::Auto => json!("auto"),
            Gated::Manual => json!("manual"),
        },
    );
    put("disabled", json!(false));
    put("downloads", json!(0));
    put("likes", json!(0));
    put("trendingScore", json!(0));
    for key in ["pipeline_tag", "library_name"] {
        if let Some(value) = card.get(key) {
            put(key, value.clone());
        }
    }
    put("tags", json!(tags(&card)));
    if repository.kind == Kind::Model
        && let Some(config) = file_json(&commit.files, "config.json")
    {
        let mut short = Map::new();
        for key in ["architectures", "model_type", "quantization_config"] {
            if let Some(value) = config.get(key) {
                short.insert(key.to_owned(), value.clone());
            }
        }
        if let Some(tokenizer) = file_json(&commit.files, "tokenizer_config.json") {
            short.insert("tokenizer_config".to_owned(), tokenizer);
        }
        put("config", Value::Object(short));
    }
    if !card.is_empty() {
        put("cardData", Value::Object(card));
    }
    if let Some(parameters) = parameters(&commit.files) {
        let total: u64 = parameters.values().sum();
        put(
            "safetensors",
            json!({ "parameters": parameters, "total": total }),
        );
    }
    put(
        "usedStorage",
        json!(
            commit
                .files
                .values()
                .map(|entry| entry.content.len)
                .sum::<u64>()
        ),
    );
    let siblings: Vec<Value> = commit
        .files
        .iter()
        .map(|(path, entry)| {
            let mut sibling = Map::new();
            sibling.insert("rfilename".to_owned(), json!(path));
            if blobs {
                sibling.insert("blobId".to_owned(), json!(entry.oid()));
                sibling.insert("size".to_owned(), json!(entry.content.len));
                if entry.lfs {
                    sibling.insert("lfs".to_owned(), lfs(entry, "sha256"));
                }
            }
            Value::Object(sibling)
        })
        .collect();
    put("siblings", json!(siblings));
    put("spaces", json!([]));
    for (name, value) in &repository.info {
        put(name, value.clone());
    }
    let expand: BTreeSet<String> = request
        .parameters("expand")
        .chain(request.parameters("expand[]"))
        .collect();
    if !expand.is_empty() {
        all.retain(|name, _| expand.contains(name) || matches!(&**name, "_id" | "id"));
    } else if !whole {
        let full = flag("full");
        all.retain(|name, _| match &**name {
            "cardData" => flag("cardData") || full,
            "config" => flag("config"),
            "siblings" | "sha" | "lastModified" | "author" | "gated" | "disabled" => full,
            "safetensors" | "usedStorage" | "spaces" => false,
            _ => true,
        });
    }
    Value::Object(all)
}

/// The metadata of its card.
fn card(repository: &Repository, files: &Files) -> Map<String, Value> {
    match repository.info.get("cardData") {
        Some(Value::Object(card)) => card.clone(),
        _ => files
            .get("README.md")
            .map(|entry| card_data(&String::from_utf8_lossy(&entry.content.all())))
            .unwrap_or_default(),
    }
}

/// What it is found by, out of its card.
fn tags(card: &Map<String, Value>) -> Vec<String> {
    let all = |key: &str| -> Vec<String> {
        match card.get(key) {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(many)) => many
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            _ => Vec::new(),
        }
    };
    let mut tags = all("library_name");
    tags.extend(all("tags"));
    tags.extend(all("pipeline_tag"));
    tags.extend(all("language"));
    for (key, prefix) in [
        ("license", "license"),
        ("base_model", "base_model"),
        ("datasets", "dataset"),
    ] {
        tags.extend(
            all(key)
                .into_iter()
                .map(|value| format!("{prefix}:{value}")),
        );
    }
    tags.push("region:us".to_owned());
    let mut seen = BTreeSet::new();
    tags.retain(|tag| seen.insert(tag.clone()));
    tags
}

fn file_json(files: &Files, path: &str) -> Option<Value> {
    serde_json::from_slice(&files.get(path)?.content.all()).ok()
}

/// How many numbers of each type its safetensors files have.
fn parameters(files: &Files) -> Option<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    for (path, entry) in files {
        if !path.ends_with(".safetensors") {
            continue;
        }
        let len = u64::from_le_bytes(entry.content.read(0, 8).ok()?.try_into().ok()?);
        let header = entry.content.read(8, usize::try_from(len).ok()?).ok()?;
        let header: Map<String, Value> = serde_json::from_slice(&header).ok()?;
        for tensor in header.values() {
            let (Some(dtype), Some(shape)) = (tensor["dtype"].as_str(), tensor["shape"].as_array())
            else {
                continue;
            };
            let count: u64 = shape.iter().filter_map(Value::as_u64).product();
            *counts.entry(dtype.to_owned()).or_default() += count;
        }
    }
    (!counts.is_empty()).then_some(counts)
}

/// A file in LFS, in a listing.
fn lfs(entry: &Entry, name: &str) -> Value {
    json!({ name: entry.content.sha256, "size": entry.content.len, "pointerSize": entry.content.pointer().len() })
}

fn file_entry(
    repository: &Repository,
    path: &str,
    entry: &Entry,
    commit: &Commit,
    expand: bool,
) -> Value {
    let mut file = Map::new();
    file.insert("type".to_owned(), json!("file"));
    file.insert("oid".to_owned(), json!(entry.oid()));
    file.insert("size".to_owned(), json!(entry.content.len));
    if entry.lfs {
        file.insert("lfs".to_owned(), lfs(entry, "oid"));
        if repository.xet {
            file.insert("xetHash".to_owned(), json!(entry.content.xet_hash()));
        }
    }
    file.insert("path".to_owned(), json!(path));
    if expand {
        file.insert("lastCommit".to_owned(), last_commit(repository, commit));
        file.insert(
            "securityFileStatus".to_owned(),
            json!({"status": "safe", "avScan": null, "pickleImportScan": null}),
        );
    }
    Value::Object(file)
}

fn last_commit(repository: &Repository, commit: &Commit) -> Value {
    let id = repository
        .commits
        .iter()
        .find(|(_, c)| c.number == commit.number)
        .map(|(name, _)| name);
    json!({"id": id, "title": commit.title, "date": date(commit.number)})
}

/// A folder in a listing. Its id depends on what is in it, as git's does.
fn folder_entry(repository: &Repository, path: &str, commit: &Commit, expand: bool) -> Value {
    let inside: String = commit
        .files
        .iter()
        .filter(|(file, _)| file.starts_with(&format!("{path}/")))
        .map(|(file, entry)| format!("{file} {}\n", entry.oid()))
        .collect();
    let mut folder = json!({"type": "directory", "oid": sha1_of(&inside), "size": 0, "path": path});
    if expand {
        folder["lastCommit"] = last_commit(repository, commit);
    }
    folder
}

fn tree(
    site: &Site,
    request: &Request,
    repository: &Repository,
    commit: &Commit,
    folder: &str,
) -> Result<Response, Response> {
    let flag = |name| {
        request
            .parameter(name)
            .is_some_and(|v| matches!(&*v, "1" | "true" | "True"))
    };
    let (recursive, expand) = (flag("recursive"), flag("expand"));
    let prefix = if folder.is_empty() {
        String::new()
    } else {
        format!("{}/", folder.trim_end_matches('/'))
    };
    let mut folders = BTreeSet::new();
    let mut entries = Vec::new();
    for (path, entry) in &commit.files {
        let Some(inside) = path.strip_prefix(&prefix) else {
            continue;
        };
        for (at, _) in inside.match_indices('/') {
            if recursive || !inside[..at].contains('/') {
                folders.insert(format!("{prefix}{}", &inside[..at]));
            }
        }
        if recursive || !inside.contains('/') {
            entries.push(file_entry(repository, path, entry, commit, expand));
        }
    }
    if entries.is_empty() && folders.is_empty() && !folder.is_empty() {
        return Err(Response::error(
            404,
            Some("EntryNotFound"),
            &format!("{folder} does not exist on this revision"),
        ));
    }
    let mut all: Vec<Value> = folders
        .iter()
        .map(|path| folder_entry(repository, path, commit, expand))
        .collect();
    all.append(&mut entries);
    let most = site.options.page_size.min(if expand { 50 } else { 1000 });
    Ok(page(site, request, &all, most))
}

/// A page of a listing, with the address of the next one.
fn page(site: &Site, request: &Request, all: &[Value], most: usize) -> Response {
    let number = |name| {
        request
            .parameter(name)
            .and_then(|v| v.parse::<usize>().ok())
    };
    let limit = number("limit").unwrap_or(most).clamp(1, most);
    // An opaque word to clients.
    let start = request
        .parameter("cursor")
        .and_then(|cursor| {
            cursor
                .strip_prefix("eyJ")
                .and_then(|at| usize::from_str_radix(at, 16).ok())
        })
        .unwrap_or(0);
    let end = (start + limit).min(all.len());
    let mut response = Response::json(200, &json!(all.get(start..end).unwrap_or_default()));
    if end < all.len() {
        let mut query: Vec<&str> = request
            .query
            .split('&')
            .filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="))
            .collect();
        let cursor = format!("cursor=eyJ{end:x}");
        query.push(&cursor);
        response = response.with(
            "Link",
            format!(
                "<{}{}?{}>; rel=\"next\"",
                site.hub,
                request.path,
                query.join("&")
            ),
        );
    }
    response
}

fn paths_info(request: &Request, repository: &Repository, commit: &Commit) -> Value {
    let body = request.json().unwrap_or_default();
    let from_form: Vec<String>;
    let text = String::from_utf8_lossy(&request.body);
    let paths: Vec<&str> = match &body["paths"] {
        Value::Array(paths) => paths.iter().filter_map(Value::as_str).collect(),
        Value::String(path) => vec![path],
        // Older clients send a form.
        _ => {
            from_form = text
                .split('&')
                .filter_map(|pair| pair.strip_prefix("paths="))
                .map(|path| decoded(path, true))
                .collect();
            from_form.iter().map(String::as_str).collect()
        }
    };
    let expand = body["expand"]
        .as_bool()
        .unwrap_or_else(|| text.contains("expand=True") || text.contains("expand=true"));
    let mut found = Vec::new();
    for path in paths {
        let path = path.trim_end_matches('/');
        if let Some(entry) = commit.files.get(path) {
            found.push(file_entry(repository, path, entry, commit, expand));
        } else if commit
            .files
            .keys()
            .any(|file| file.starts_with(&format!("{path}/")))
        {
            found.push(folder_entry(repository, path, commit, expand));
        }
    }
    json!(found)
}

fn refs(request: &Request, repository: &Repository) -> Value {
    let list = |names: &BTreeMap<String, String>, prefix: &str| -> Vec<Value> {
        names
            .iter()
            .map(|(name, commit)| json!({"name": name, "ref": format!("{prefix}{name}"), "targetCommit": commit}))
            .collect()
    };
    let under = |prefix: &str| -> Vec<Value> {
        repository
            .refs
            .iter()
            .filter_map(|(name, commit)| {
                let short = name.strip_prefix(prefix)?;
                Some(json!({"name": short, "ref": name, "targetCommit": commit}))
            })
            .collect()
    };
    let mut refs = json!({
        "branches": list(&repository.branches, "refs/heads/"),
        "tags": list(&repository.tags, "refs/tags/"),
        "converts": under("refs/convert/"),
    });
    if request.parameter("include_prs").is_some() {
        refs["pullRequests"] = json!(under("refs/pr/"));
    }
    refs
}

fn commits(repository: &Repository, name: &str) -> Value {
    let mut list = Vec::new();
    let mut next = Some(name);
    while let Some(name) = next {
        let commit = &repository.commits[name];
        list.push(json!({
            "id": name,
            "title": commit.title,
            "message": commit.message,
            "authors": [{"user": commit.author, "avatar": "/avatar.svg"}],
            "date": date(commit.number),
        }));
        next = commit.parent.as_deref();
    }
    json!(list)
}

fn search(world: &World, site: &Site, request: &Request, kind: Kind) -> Result<Response, Response> {
    let account = account(world, request)?;
    let all: BTreeSet<String> = request.parameters("filter").collect();
    let filters: Vec<&str> = all.iter().flat_map(|filter| filter.split(',')).collect();
    let text = request.parameter("search").map(|text| text.to_lowercase());
    let gated = request
        .parameter("gated")
        .map(|value| value.eq_ignore_ascii_case("true"));
    let mut found = Vec::new();
    for repository in world.repositories.values() {
        let Some((name, commit)) = repository
            .resolve("main")
            .map(|name| (name, &repository.commits[name]))
        else {
            continue;
        };
        if repository.kind != kind
            || repository.private && !account.is_some_and(|a| a.is_of(repository.namespace()))
            || text
                .as_ref()
                .is_some_and(|text| !repository.id.to_lowercase().contains(text))
            || request
                .parameter("author")
                .is_some_and(|author| author != repository.namespace())
            || gated.is_some_and(|gated| gated != (repository.gated != Gated::No))
        {
            continue;
        }
        let document = info(repository, name, commit, request, false);
        let complete = info(
            repository,
            name,
            commit,
            &Request {
                query: String::new(),
                ..request.clone()
            },
            true,
        );
        let has = |tag: &str| {
            complete["tags"]
                .as_array()
                .is_some_and(|tags| tags.iter().any(|t| t == tag))
                || complete["pipeline_tag"] == tag
                || complete["library_name"] == tag
        };
        if filters.iter().all(|tag| has(tag))
            && request
                .parameter("pipeline_tag")
                .is_none_or(|tag| complete["pipeline_tag"] == *tag)
        {
            found.push((complete, document));
        }
    }
    let sort = request
        .parameter("sort")
        .unwrap_or_else(|| "trendingScore".to_owned());
    let up = request
        .parameter("direction")
        .is_some_and(|direction| direction == "1");
    found.sort_by(|(a, _), (b, _)| {
        let by = match (&a[&sort], &b[&sort]) {
            (Value::String(a), Value::String(b)) => a.cmp(b),
            (a, b) => a
                .as_f64()
                .unwrap_or(0.0)
                .total_cmp(&b.as_f64().unwrap_or(0.0)),
        };
        if up { by } else { by.reverse() }
    });
    let documents: Vec<Value> = found.into_iter().map(|(_, document)| document).collect();
    Ok(page(site, request, &documents, site.options.page_size))
}

/// The address of a page of a repository.
pub(crate) fn page_of(site: &Site, kind: Kind, id: &str) -> String {
    format!("{}/{}{}", site.hub, kind.prefix(), encoded(id, "/"))
}
