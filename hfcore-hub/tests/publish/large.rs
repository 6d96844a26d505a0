//! Large files: in parts, again and again, and never with the token.

use std::collections::BTreeMap;

use hfcore_hub::HubError;
use hfcore_hub::publish::UploadOptions;
use hfcore_hub_stand_in::{Fault, Host, StandIn};
use serde_json::json;

use crate::setup::*;

const LARGE: &str = "model.safetensors";

fn upload(server: &StandIn, folder: &tempfile::TempDir) -> Result<(), HubError> {
    let hub = client(server);
    let uploaded = hub.upload_folder(folder.path(), &repo(), &UploadOptions::default());
    uploaded.map(|info| assert!(info.created))
}

#[test]
fn a_part_that_fails_is_sent_again_alone() {
    let server = stand_in_with_repo();
    let folder = lay_out(&[(LARGE, &bytes(5 * PART + 1))]);
    for fault in [
        Fault::on("/upload/").after(1).times(2).status(503),
        Fault::on("/upload/").after(3).once().reset(),
        Fault::on("/upload/").after(4).once().hang_up(),
        Fault::on("complete_multipart").once().status(500),
        Fault::on("/objects/verify").once().status(502),
        Fault::on("/objects/batch").once().status(504),
        Fault::on("/preupload/").once().status(500),
    ] {
        server.fault(fault);
    }
    let (hub, watched) = watched_client(&server);
    hub.upload_folder(folder.path(), &repo(), &UploadOptions::default())
        .unwrap();
    assert_published(&server, "main", folder.path(), &[LARGE]);
    let mut puts: BTreeMap<String, usize> = BTreeMap::new();
    for put in requests(&server, "PUT", "/upload/") {
        *puts.entry(put.path).or_default() += 1;
    }
    assert_eq!(puts.len(), 6);
    assert_eq!(puts.values().sum::<usize>(), 6 + 4);
    assert_no_leak(&server);
    // What was sent and did not arrive is taken back.
    let told = watched.lock().unwrap();
    assert!(told.iter().all(|(path, _)| path == LARGE));
    let total: i64 = told.iter().map(|(_, bytes)| bytes).sum();
    assert_eq!(total, 5001);
}

#[test]
fn a_storage_that_stays_away_is_an_error_and_nothing_is_committed() {
    let server = stand_in_with_repo();
    let before = server.world(|world| world.commit_of(ID, "main"));
    let folder = lay_out(&[(LARGE, &bytes(3 * PART))]);
    server.fault(Fault::on("/upload/").at(Host::Cdn).after(1).status(500));
    let error = upload(&server, &folder).unwrap_err();
    assert!(
        matches!(error, HubError::Status { status: 500, .. }),
        "{error}"
    );
    // The signature is part of an address, and of no message.
    assert!(!error.chain().contains("Signature"), "{error}");
    assert_eq!(server.world(|world| world.commit_of(ID, "main")), before);
    assert!(requests(&server, "POST", "/commit/").is_empty());

    server.clear_faults();
    upload(&server, &folder).unwrap();
    assert_published(&server, "main", folder.path(), &[LARGE]);
}

#[test]
fn addresses_that_expired_are_asked_for_anew() {
    let server = stand_in_with_repo();
    let other = "other.safetensors";
    let folder = lay_out(&[(LARGE, &bytes(3 * PART)), (other, &bytes(PART / 2))]);
    server.fault(Fault::on("/upload/").after(2).once().status(403));
    upload(&server, &folder).unwrap();
    let batches = requests(&server, "POST", "/objects/batch");
    let objects = |batch: usize| batches[batch].json().unwrap()["objects"].clone();
    assert_eq!(batches.len(), 2);
    assert_eq!(objects(0).as_array().unwrap().len(), 2);
    assert_eq!(objects(1).as_array().unwrap().len(), 1);
    assert_published(&server, "main", folder.path(), &[LARGE, other]);

    // But not for ever.
    let server = stand_in_with_repo();
    server.fault(Fault::on("/upload/").status(403));
    let error = upload(&server, &folder).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("answered 403"), "{message}");
    assert!(
        message.ends_with("is the clock of this machine right?"),
        "{message}"
    );
    assert!(!message.contains("Signature"), "{message}");
    assert_eq!(requests(&server, "POST", "/objects/batch").len(), 3);
}

#[test]
fn two_files_with_the_same_bytes_are_one_object() {
    let server = stand_in_with_repo();
    let same = bytes(PART / 2);
    let folder = lay_out(&[("a.bin", &same), ("b.bin", &same)]);
    upload(&server, &folder).unwrap();
    assert_eq!(requests(&server, "PUT", "/upload/").len(), 1);
    assert_published(&server, "main", folder.path(), &["a.bin", "b.bin"]);
}

#[test]
fn a_storage_that_speaks_another_way_is_named() {
    let folder = lay_out(&[(LARGE, &bytes(PART / 2))]);
    let oid = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
    let server = stand_in_with_repo();
    let hub = client(&server);
    // What the object is called: asked of the first question.
    server.fault(Fault::on("/objects/batch").json(json!({"objects": []})));
    let error = upload(&server, &folder).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("it says nothing about model.safetensors"),
        "{error}"
    );
    let batch = requests(&server, "POST", "/objects/batch")[0]
        .json()
        .unwrap();
    let name = batch["objects"][0]["oid"].clone();
    assert_ne!(name, oid);
    drop(hub);

    let upload_action = json!({"upload": {"href": format!("{}/x", server.storage())}});
    for (reply, message) in [
        (
            json!({"transfer": "xet", "objects": [{"oid": name, "size": 500, "actions": upload_action}]}),
            "model.safetensors cannot be uploaded: the Hub takes the large files of this repository by `xet` alone, which \
             hfcore does not speak; Python's huggingface_hub with hf_xet does",
        ),
        (
            json!({"objects": [{"oid": name, "size": 500, "error": {"code": 507, "message": "No space left"}}]}),
            "model.safetensors cannot be uploaded: the storage of large files refuses it: No space left (507)",
        ),
        (
            json!({"objects": [{"oid": name, "size": 500, "actions":
                {"upload": {"href": "ftp://elsewhere/x"}}}]}),
            "an address in it: its scheme is neither http nor https",
        ),
        (
            json!({"objects": [{"oid": name, "size": 500, "actions":
                {"upload": {"href": "x", "header": {"chunk_size": "400", "1": "x"}}}}]}),
            "a file of 500 bytes has 2 parts of 400, and it has addresses for 1",
        ),
    ] {
        server.clear_faults();
        server.fault(Fault::on("/objects/batch").json(reply));
        let error = upload(&server, &folder).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

/// A server could ask for the verification elsewhere: the token stays.
#[test]
fn the_token_does_not_follow_the_verification() {
    let server = stand_in_with_repo();
    let folder = lay_out(&[(LARGE, &bytes(PART / 2))]);
    upload(&server, &folder).unwrap();
    let mut reply = requests(&server, "POST", "/objects/batch")[0]
        .json()
        .unwrap();
    let name = reply["objects"][0]["oid"].clone();
    let elsewhere = server.storage();
    reply = json!({"objects": [{"oid": name, "size": 500, "actions": {
        "upload": {"href": format!("{elsewhere}/verified")},
        "verify": {"href": format!("{elsewhere}/verified")}}}]});
    let server_two = stand_in_with_repo();
    server_two.fault(Fault::on("/objects/batch").json(reply));
    server.fault(Fault::on("/verified").status(200));
    upload(&server_two, &folder).unwrap_err(); // its storage never got it
    let verified = requests(&server, "POST", "/verified");
    assert_eq!(verified.len(), 1);
    assert_eq!(verified[0].header("authorization"), None);
    assert!(server.leaks().is_empty());
}

#[test]
fn a_file_that_changes_meanwhile_is_not_committed() {
    let server = stand_in_with_repo();
    let folder = lay_out(&[(LARGE, &bytes(PART / 2)), ("config.json", b"{}")]);
    let changed = folder.path().join(LARGE);
    server.fault(
        Fault::on("/upload/")
            .once()
            .then(move |_| std::fs::write(&changed, "shorter").unwrap()),
    );
    let error = upload(&server, &folder).unwrap_err();
    assert_eq!(
        error.to_string(),
        "model.safetensors cannot be uploaded: it changed while it was being uploaded; nothing was committed, upload again"
    );
    assert!(requests(&server, "POST", "/commit/").is_empty());
}
