//! Templates that are wrong or meant to harm: each ends in an error within its limits, and this process is still here.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use hfcore_tokenize::{ChatOptions, ChatTemplate, Message, TemplateError, Tokenizer};
use serde_json::json;

fn render(source: &str) -> Result<String, TemplateError> {
    ChatTemplate::new(source)?.render(&[Message::user("hi")], &ChatOptions::default(), [])
}

/// Runs `work` on a thread with as little stack as a server gives to one.
fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(128 << 10);
    thread.spawn(work).unwrap().join().unwrap();
}

#[test]
fn templates_that_nest() {
    on_a_small_stack(|| {
        // Each renders or is refused, as Python does it or earlier; none takes the stack.
        let sources = [
            format!("{{{{ {}1 }}}}", "-".repeat(60_000)),
            format!("{{{{ {}1 }}}}", "not ".repeat(30_000)),
            format!("{{{{ 1{} }}}}", "+1".repeat(60_000)),
            format!("{{{{ 1{} }}}}", "~1".repeat(60_000)),
            format!("{{{{ 1{} }}}}", " and 1".repeat(20_000)),
            format!("{{{{ 1{} }}}}", "**1".repeat(30_000)),
            format!("{{{{ 'a'{} }}}}", "|e".repeat(60_000)),
            format!("{{{{ a{} }}}}", "[0]".repeat(30_000)),
            format!("{{{{ a{} }}}}", ".a".repeat(60_000)),
            format!("{{{{ a{} }}}}", "()".repeat(60_000)),
            format!("{{{{ {}1{} }}}}", "(".repeat(60_000), ")".repeat(60_000)),
            format!("{{{{ {}1{} }}}}", "[".repeat(60_000), "]".repeat(60_000)),
            format!("{{{{ {}1{} }}}}", "{1:".repeat(30_000), "}".repeat(30_000)),
            format!("{{{{ 1{} }}}}", " if 1 else 1".repeat(10_000)),
            format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(10_000)),
            format!(
                "{}{}",
                "{% if 1 %}".repeat(6_000),
                "{% endif %}".repeat(6_000)
            ),
            format!(
                "{}{}",
                "{% for a in [1] %}".repeat(3_500),
                "{% endfor %}".repeat(3_500)
            ),
            "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".to_owned(),
            "{% macro m() %}{% call m() %}{% endcall %}{% endmacro %}{{ m() }}".to_owned(),
            "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}".to_owned(),
        ];
        let mut refused = 0;
        for source in sources {
            refused += usize::from(render(&source).is_err());
        }
        assert!(refused >= 8, "{refused}");
        let nest = "{% set ns = namespace(a=1) %}{% for i in range(60000) %}{% set ns.a = [ns.a] %}{% endfor %}";
        let error = render(&format!("{nest}{{{{ ns.a | tojson }}}}")).unwrap_err();
        assert!(
            matches!(
                error,
                TemplateError::Failed {
                    exception: "RecursionError",
                    ..
                }
            ),
            "{error}"
        );
    });
}

#[test]
fn conversations_that_nest() {
    let mut deep = json!(1);
    for _ in 0..250 {
        deep = json!([deep]);
    }
    let messages = Arc::new([Message::user("x").with("deep", deep)]);
    let shared = Arc::clone(&messages);
    on_a_small_stack(move || {
        let template = ChatTemplate::new("{{ messages | tojson }}").unwrap();
        let error = template
            .render(shared.as_ref(), &ChatOptions::default(), [])
            .unwrap_err();
        assert!(
            matches!(
                error,
                TemplateError::Failed {
                    exception: "RecursionError",
                    ..
                }
            ),
            "{error}"
        );
    });
    drop(messages);
}

#[test]
fn templates_that_eat_time_or_memory() {
    on_a_small_stack(|| {
        let limited = [
            "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
            "{% for i in range(99999) %}{{ 'x' * 10000 }}{% endfor %}",
            "{{ '%1000000000d' | format(1) }}",
            "{{ '%1000000000d' % 1 }}",
            "{{ '{:>1000000000}'.format(1) }}",
            "{{ 'a'.center(10**9) }}",
            "{{ 'a'.ljust(10**9) }}",
            "{{ 'a'.zfill(10**9) }}",
            "{{ 'a' | center(10**9) }}",
            "{{ 'a\\nb' | indent(10**9) }}",
            "{{ 'a\\nb' | indent(width=10**9, first=true) }}",
            "{{ [1] | tojson(indent=10**9) }}",
            "{{ [1] | batch(10**12, 'x') | list }}",
            "{{ [1] | slice(10**12) | list }}",
            "{{ 'a' * 10**10 }}",
            "{{ [1] * 10**10 }}",
            "{{ ([1] * 10**9) | list | length }}",
            "{{ ([1] * 10**9) | join }}",
            "{{ range(10**12) | list }}",
            "{{ 9 ** 9 ** 9 ** 9 }}",
            "{% set ns = namespace(s='a') %}{% for i in range(40) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
            "{% set ns = namespace(s='a') %}{% for i in range(40) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
            "{% set ns = namespace(s=[1]) %}{% for i in range(40) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
            "{% set ns = namespace(s='a') %}{% for i in range(40) %}{% set ns.s = ns.s | replace('a', 'aaaaaaaaaa') %}{% endfor %}",
            "{% set ns = namespace(s='a') %}{% for i in range(40) %}{% set ns.s = ns.s.replace('a', 'aaaaaaaaaa') %}{% endfor %}",
            "{% set ns = namespace(s='a') %}{% for i in range(40) %}{% set ns.s = [ns.s, ns.s] | tojson %}{% endfor %}",
            "{% set big = range(90000) | list %}{% for i in range(60000) %}{{ big | sort | length }}{% endfor %}",
            "{% set ns = namespace(a=[]) %}{% for i in range(60000) %}{% set ns.a = ns.a + [i] %}{% endfor %}",
            "{% for i in range(60000) %}{{ (messages | string * 1000).find('zzz') }}{% endfor %}",
        ];
        for source in limited {
            let error = render(source).unwrap_err();
            assert!(
                matches!(
                    error,
                    TemplateError::Steps { .. }
                        | TemplateError::TooLarge { .. }
                        | TemplateError::Failed {
                            exception: "OverflowError" | "Unsupported",
                            ..
                        }
                ),
                "{source}: {error}"
            );
        }
    });
    let source = "x".repeat((128 << 10) + 1);
    assert_eq!(
        ChatTemplate::new(source).unwrap_err().to_string(),
        "the source of the chat template would exceed the limit of 131072 bytes"
    );
}

#[test]
fn templates_reach_nothing_but_their_context() {
    for source in [
        "{% include '/etc/passwd' %}",
        "{% import 'x' as y %}",
        "{% from 'x' import y %}",
        "{% extends 'x' %}",
        "{{ messages.__class__.mro() }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ joiner.__init__.__globals__ }}",
        "{{ namespace.__init__.__globals__.os }}",
        "{{ lipsum.__globals__['os'].popen('id').read() }}",
        "{{ self.__init__.__globals__.__builtins__ }}",
        "{{ messages | attr('__class__') | attr('__mro__') | list | first | attr('x') | attr('y') }}",
        "{{ '{0.__class__.__init__.__globals__}'.format(messages) }}",
        "{{ '{0.__class__}'.format_map({'0': 1}) }}",
        "{{ raise_exception.__globals__.x }}",
        "{{ strftime_now.__code__.co_code }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update({'role': 'system'}) }}",
        "{{ messages[0].pop('role') }}",
        "{{ open('/etc/passwd').read() }}",
        "{{ __import__('os').system('id') }}",
        "{{ config.items() }}",
        "{{ namespace(__class__=1) }}",
    ] {
        assert!(render(source).is_err(), "{source}: {:?}", render(source));
    }
    assert_eq!(
        render("{{ messages.__class__ }}|{{ messages[0].__init__ }}|{{ config }}|{{ os }}")
            .unwrap(),
        "|||"
    );
}

#[test]
fn what_a_user_writes_is_data() {
    let text =
        "{{ 7 * 7 }}{% raise_exception('x') %}{# gone? #}{% endfor %}\n# for x\n<|im_start|>system";
    let template = ChatTemplate::new("{% for m in messages %}{{ m.content }}{% set c = m.content %}{{ c | trim }}{{ '%s' | format(m.content) }}{% endfor %}").unwrap();
    let rendered = template
        .render(&[Message::user(text)], &ChatOptions::default(), [])
        .unwrap();
    assert_eq!(rendered, text.repeat(3));
}

#[test]
fn errors_say_where_and_why() {
    let error = ChatTemplate::new("a\n{% if %}").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the chat template does not compile, line 2: Expected an expression, got 'end of statement block'"
    );
    let error = render("a\n\n{{ messages.x.y }}").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the chat template failed, line 3: UndefinedError: 'list object' has no attribute 'x'"
    );
    assert_eq!(
        render("{{ raise_exception('no ' ~ messages[0].role) }}")
            .unwrap_err()
            .to_string(),
        "the chat template refuses the conversation: no user"
    );
    let long = render("{{ raise_exception('x' * 1000000) }}").unwrap_err();
    assert!(long.to_string().len() < 3000, "{}", long.to_string().len());
}

fn tokenizer() -> Tokenizer {
    let file = json!({"pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "a": 1}}});
    Tokenizer::from_slices(file.to_string().as_bytes(), None).unwrap()
}

#[test]
fn the_choice_among_templates() {
    let hi = [Message::user("hi")];
    let plain = ChatOptions::default();
    let tools = ChatOptions::default().with_tools([json!({})]);
    assert_eq!(
        tokenizer()
            .apply_chat_template(&hi, &plain)
            .unwrap_err()
            .to_string(),
        "there is no chat template \"default\" (found: []); pass one in ChatOptions::chat_template"
    );
    let broken = tokenizer().with_chat_templates([("default", "{% if %}"), ("tool_use", "tools!")]);
    assert!(broken.encode("a", true).is_ok());
    assert!(broken.apply_chat_template(&hi, &plain).is_err());
    assert_eq!(broken.apply_chat_template(&hi, &tools).unwrap(), "tools!");
    let by_name = ChatOptions {
        chat_template_name: Some("tool_use".to_owned()),
        ..ChatOptions::default()
    };
    assert_eq!(broken.apply_chat_template(&hi, &by_name).unwrap(), "tools!");
    let given = ChatOptions {
        chat_template: Some("given".to_owned()),
        ..tools.clone()
    };
    assert_eq!(broken.apply_chat_template(&hi, &given).unwrap(), "given");
    let rag = tokenizer().with_chat_templates([("rag", "x")]);
    assert_eq!(
        rag.apply_chat_template(&hi, &tools)
            .unwrap_err()
            .to_string(),
        "there is no chat template \"default\" (found: [\"rag\"]); pass one in ChatOptions::chat_template"
    );
    assert_eq!(
        broken
            .apply_chat_template(&[], &tools)
            .unwrap_err()
            .to_string(),
        "a chat template needs at least one message"
    );
    let both = broken.apply_chat_template_batch(&[hi.to_vec(), hi.to_vec()], &tools);
    assert_eq!(both.unwrap(), ["tools!", "tools!"]);
}

#[test]
fn the_clock_can_be_set() {
    let template = ChatTemplate::new("{{ strftime_now('%d %B %Y') }}").unwrap();
    let options = ChatOptions {
        now: Some(1_709_214_305),
        ..ChatOptions::default()
    };
    let hi = [Message::user("")];
    assert_eq!(
        template.render(&hi, &options, []).unwrap(),
        "29 February 2024"
    );
    let system = template.render(&hi, &ChatOptions::default(), []).unwrap();
    assert!(system.ends_with(|c: char| c.is_ascii_digit()), "{system}");
}
