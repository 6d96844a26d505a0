//! Logging in and out: what is stored, where, and who can read it.

use std::fs;
use std::path::Path;

use hfcore_hub::account::{self, AccountKind, StoredToken, TokenRole};
use hfcore_hub::{Environment, HubBuilder, HubError, Token};
use hfcore_hub_stand_in::{Fault, Role, StandIn};

use crate::python;
use crate::setup::*;

fn environment_with(home: &Path, variables: &'static [(&str, &str)]) -> Environment {
    let lookup = |name: &str| {
        let mut variables = variables.iter();
        let found = variables.find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).into())
    };
    Environment::from_lookup(&lookup, Some(home.to_owned())).unwrap()
}

fn login(
    server: &StandIn,
    environment: &Environment,
    token: &str,
) -> Result<account::Login, HubError> {
    account::login(&builder(server, token).build().unwrap(), environment)
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn whose_token_it_is() {
    let server = stand_in();
    let account = client(&server).whoami().unwrap();
    assert_eq!(
        (account.name.as_str(), account.kind),
        ("alice", AccountKind::User)
    );
    let organizations: Vec<&str> = account
        .organizations
        .iter()
        .map(|o| o.name.as_str())
        .collect();
    assert_eq!(organizations, ["org", "team"]);
    assert_eq!(account.token.unwrap().role, Some(TokenRole::Write));

    let unknown = builder(&server, "hf_nobody").build().unwrap();
    let error = unknown.whoami().unwrap_err();
    assert!(matches!(error, HubError::Unauthorized { .. }), "{error}");
    assert!(!error.chain().contains("hf_nobody"));
    let anonymous = builder(&server, "hf_nobody").no_token().build().unwrap();
    assert!(matches!(anonymous.whoami(), Err(HubError::NoToken { .. })));
}

#[test]
fn a_login_is_for_the_next_program_too() {
    let server = stand_in();
    let home = tempfile::tempdir().unwrap();
    let environment = environment(home.path());
    let done = login(&server, &environment, StandIn::WRITE_TOKEN).unwrap();
    assert_eq!(done.account.name, "alice");
    assert_eq!((done.overridden, &done.set_aside), (false, &None));
    assert_eq!(
        done.token_path,
        home.path().join(".cache/huggingface/token")
    );
    let text = fs::read_to_string(&done.token_path).unwrap();
    assert_eq!(text, StandIn::WRITE_TOKEN);
    #[cfg(unix)]
    {
        assert_eq!(mode(&done.token_path), 0o600);
        assert_eq!(mode(&environment.stored_tokens_path()), 0o600);
    }
    assert!(!format!("{done:?}").contains("hf_"));

    let next = HubBuilder::new(environment.clone()).endpoint(&server.endpoint());
    assert_eq!(next.build().unwrap().whoami().unwrap().name, "alice");

    // Another account, under its own name.
    let first = done.token_name;
    server.account("carol", "hf_carol", Role::Read, &[]);
    let second = login(&server, &environment, "hf_carol").unwrap().token_name;
    let stored = || account::stored_tokens(&environment).unwrap();
    let names: Vec<(String, bool)> = stored().into_iter().map(|t| (t.name, t.in_use)).collect();
    if first != second {
        let mut expected = vec![(first.clone(), false), (second.clone(), true)];
        expected.sort();
        assert_eq!(names, expected);
    }

    let error = account::logout(&environment, Some("nobody")).unwrap_err();
    assert!(
        error.to_string().contains("the stored tokens are called"),
        "{error}"
    );
    let out = account::logout(&environment, Some(&second)).unwrap();
    assert!(out.was_in_use);
    assert_eq!(environment.token().unwrap(), None);
    login(&server, &environment, StandIn::WRITE_TOKEN).unwrap();
    let out = account::logout(&environment, None).unwrap();
    assert!(out.was_in_use && !out.overridden);
    assert!(!environment.stored_tokens_path().exists());
    assert_eq!(stored(), [] as [StoredToken; 0]);
    assert!(!account::logout(&environment, None).unwrap().was_in_use);
}

#[test]
fn a_token_that_is_not_accepted_is_not_stored() {
    let server = stand_in();
    let home = tempfile::tempdir().unwrap();
    let environment = environment(home.path());
    login(&server, &environment, StandIn::WRITE_TOKEN).unwrap();
    let error = login(&server, &environment, "hf_wrong").unwrap_err();
    assert!(matches!(error, HubError::Unauthorized { .. }), "{error}");
    server.fault(Fault::on("/api/whoami-v2").login_page());
    login(&server, &environment, "hf_wrong").unwrap_err();
    let kept = environment.token().unwrap();
    assert_eq!(kept, Token::parse(StandIn::WRITE_TOKEN));
}

#[test]
fn a_variable_wins_and_is_named() {
    let server = stand_in();
    let home = tempfile::tempdir().unwrap();
    let environment = environment_with(home.path(), &[("HF_TOKEN", "hf_other")]);
    assert!(
        login(&server, &environment, StandIn::WRITE_TOKEN)
            .unwrap()
            .overridden
    );
    assert!(account::logout(&environment, None).unwrap().overridden);
}

#[test]
fn a_file_of_something_else_is_kept_aside() {
    let server = stand_in();
    let home = tempfile::tempdir().unwrap();
    let environment = environment(home.path());
    let path = environment.stored_tokens_path();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "hf_lonely\n").unwrap();
    let error = account::stored_tokens(&environment).unwrap_err();
    assert!(
        error.to_string().contains("other than a section"),
        "{error}"
    );
    let done = login(&server, &environment, StandIn::WRITE_TOKEN).unwrap();
    let aside = done.set_aside.unwrap();
    assert_eq!(fs::read_to_string(aside).unwrap(), "hf_lonely\n");
    assert_eq!(account::stored_tokens(&environment).unwrap().len(), 1);
}

/// What we store Python uses, and what it stores we do.
#[test]
fn python_shares_the_login() {
    let Some(python) = python::python() else {
        return;
    };
    let server = stand_in();
    let home = tempfile::tempdir().unwrap();
    let cache = home.path().join("hub");
    // `python::run` has its home beside the cache.
    let hf_home = cache.with_extension("home");
    let environment = Environment::from_lookup(
        &|name| (name == "HF_HOME").then(|| hf_home.clone().into()),
        Some(home.path().to_owned()),
    )
    .unwrap();
    let done = login(&server, &environment, StandIn::WRITE_TOKEN).unwrap();
    let run = |script: &str| {
        let printed = python::run(python, &server.endpoint(), &cache, &[], script);
        printed.trim().to_owned()
    };
    let script = "import huggingface_hub as h\n\
        from huggingface_hub.utils import get_token, get_stored_tokens\n\
        print(get_token(), list(get_stored_tokens().items()), h.whoami()['name'])";
    let token = StandIn::WRITE_TOKEN;
    let name = &done.token_name;
    assert_eq!(
        run(script),
        format!("{token} [('{name}', '{token}')] alice")
    );
    let listed = run("from huggingface_hub._login import auth_list; auth_list()");
    assert!(
        listed
            .lines()
            .any(|line| line.starts_with('*') && line.contains(name)),
        "{listed}"
    );

    // Python's turn: a second token under a name with everything in it that INI files have a meaning for.
    run(
        "from huggingface_hub.utils._auth import _save_token\n_save_token('hf_second', 'a: [b] = \u{e9} %x')",
    );
    let stored = account::stored_tokens(&environment).unwrap();
    let names: Vec<&str> = stored.iter().map(|token| token.name.as_str()).collect();
    assert!(names.contains(&"a: [b] = \u{e9} %x"), "{names:?}");
    login(&server, &environment, StandIn::READ_TOKEN).unwrap();
    let kept = run("from huggingface_hub.utils import get_stored_tokens\n\
        print(get_stored_tokens()['a: [b] = \u{e9} %x'])");
    assert_eq!(kept, "hf_second");
    run("import huggingface_hub as h; h.logout()");
    assert_eq!(environment.token().unwrap(), None);
}
