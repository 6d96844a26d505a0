//! Hostile templates end with an error, soon, within the limits, and on a small stack.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use hfcore_jinja::{Dict, Error, ErrorKind, Options, Rendered, Template};

/// The stack of the thread that everything here runs on.
const STACK: usize = 512 * 1024;

fn render(template: &str) -> Result<Rendered, Error> {
    let variables = Dict::from_json(&serde_json::Map::new())?;
    Template::new(template)?.render(&variables, &Options::default())
}

fn on_small_stack<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new()
        .stack_size(STACK)
        .spawn(run)
        .unwrap()
        .join()
        .unwrap()
}

fn long(start: &str, repeated: &str, count: usize, end: &str) -> String {
    format!("{start}{}{end}", repeated.repeat(count))
}

/// What each template must end with; nothing for one that may as well be rendered.
fn payloads() -> Vec<(String, Option<&'static [ErrorKind]>)> {
    use ErrorKind::{Memory, OverflowError, RecursionError, Steps};
    const BOUNDS: &[ErrorKind] = &[Steps, Memory, ErrorKind::Output, ErrorKind::Unsupported];
    const DEPTH: &[ErrorKind] = &[RecursionError];
    const RANGE: &[ErrorKind] = &[OverflowError];
    let mut all: Vec<(String, Option<&'static [ErrorKind]>)> = vec![
        ("{{ range(10**12)|list }}".into(), Some(RANGE)),
        ("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}".into(), Some(BOUNDS)),
        ("{{ ('a' * 10**9)|length }}".into(), Some(BOUNDS)),
        ("{{ ([1] * 10**9)|list }}".into(), Some(BOUNDS)),
        ("{{ ([1] * 10**9)|join }}".into(), Some(BOUNDS)),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".into(), Some(DEPTH)),
        ("{% macro m(x) %}{% if true %}{% for i in [1] %}{{ ((((m([[x]]))))) }}{% endfor %}{% endif %}{% endmacro %}{{ m(1) }}".into(), Some(DEPTH)),
        ("{% macro m() %}{{ caller is defined }}{% call m() %}{% endcall %}{% endmacro %}{{ m() }}".into(), Some(DEPTH)),
        ("{% macro m() %}{% filter upper %}{% set x %}{{ m()|upper|trim }}{% endset %}{{ x }}{% endfilter %}{% endmacro %}{{ m() }}".into(), Some(DEPTH)),
        ("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}".into(), Some(DEPTH)),
        ("{% block a %}{{ self.a() }}{% endblock %}".into(), Some(DEPTH)),
        ("{% macro m(a=m()) %}{% endmacro %}{{ m() }}".into(), Some(DEPTH)),
        ("{% set ns = namespace(a=[]) %}{% for i in range(99999) %}{% set ns.a = [ns.a] %}{% endfor %}{{ ns.a|tojson }}".into(), Some(DEPTH)),
        ("{% set ns = namespace(a={}) %}{% for i in range(99999) %}{% set ns.a = {'a': ns.a} %}{% endfor %}".into(), Some(DEPTH)),
        ("{% set ns = namespace(a=[]) %}{% for i in range(99999) %}{% set ns.a = ns.a|map('upper') %}{% endfor %}{{ ns.a|list }}".into(), Some(DEPTH)),
        ("{% set ns = namespace(a=[]) %}{% for i in range(99999) %}{% set ns.a = []|batch(2, ns.a) %}{% endfor %}".into(), Some(DEPTH)),
        ("{% set ns = namespace(a=[]) %}{% for i in range(99999) %}{% set ns.a = namespace(a=ns.a) %}{% endfor %}{{ ns }}".into(), Some(DEPTH)),
        // Each is stored before it grows.
        ("{% set first = namespace() %}{% set ns = namespace(last=first) %}{% for i in range(9999) %}{% set next = namespace() %}{% set last = ns.last %}{% set last.a = [[next]] %}{% set ns.last = next %}{% endfor %}{{ first }}".into(), Some(DEPTH)),
        ("{% set ns = namespace(a=[]) %}{% for i in range(99999) %}{% set ns.a = cycler(ns.a) %}{% endfor %}".into(), Some(DEPTH)),
        ("{% set ns = namespace(a=[]) %}{% for i in range(99999) %}{% set ns.a = joiner(ns.a) %}{% endfor %}".into(), Some(DEPTH)),
        ("{% set ns = namespace(a='') %}{% for i in range(99999) %}{% set ns.a = (ns.a ~ 'x').upper %}{% endfor %}".into(), None),
        ("{% set ns = namespace(s='a' * 100000) %}{% for i in range(99999) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}".into(), Some(BOUNDS)),
        ("{% set ns = namespace(s='a') %}{% for i in range(99999) %}{% set ns.s = ns.s|replace('a', 'aaaaaaaaaa') %}{% endfor %}".into(), Some(BOUNDS)),
        ("{{ '%1000000000d'|format(1) }}".into(), Some(BOUNDS)),
        ("{{ '%.1000000000f' % 1.5 }}".into(), Some(BOUNDS)),
        ("{{ '%*d' % (1000000000, 1) }}".into(), Some(BOUNDS)),
        ("{{ '{:>1000000000}'.format(1) }}".into(), Some(BOUNDS)),
        ("{{ 'a\nb'|indent(10**9) }}".into(), Some(BOUNDS)),
        ("{{ [1, 2]|tojson(indent=10**9) }}".into(), Some(BOUNDS)),
        ("{{ [1]|batch(10**12, 'x')|list }}".into(), Some(BOUNDS)),
        ("{{ [1]|slice(10**12)|list }}".into(), Some(BOUNDS)),
        ("{{ 'a'|center(10**9) }}".into(), Some(BOUNDS)),
        ("{{ 'a'.ljust(10**9) }}".into(), Some(BOUNDS)),
        ("{{ 'a'.zfill(10**9) }}".into(), Some(BOUNDS)),
        ("{{ 'a\t'.expandtabs(10**9) }}".into(), Some(BOUNDS)),
        ("{{ 'a'|indent('x' * 10**6)|replace('', 'y' * 10**6) }}".into(), None),
        ("{{ 2 ** (10**9) }}".into(), Some(BOUNDS)),
        ("{% set big = range(99999)|list %}{% for i in range(60000) %}{% set x = big|sort %}{% endfor %}".into(), Some(BOUNDS)),
        ("{% set big = range(99999)|list %}{% for i in range(60000) %}{{ big|max }}{% endfor %}".into(), Some(BOUNDS)),
        ("{% set big = range(99999)|list %}{% for i in big %}{{ i in big }}{% endfor %}".into(), Some(BOUNDS)),
        ("{% set big = range(99999)|list %}{% for i in big %}{% set x = big[1:] %}{% endfor %}".into(), Some(BOUNDS)),
        ("{% set ns = namespace(a=[]) %}{% for i in range(60000) %}{% set ns.a = ns.a + [i] %}{% endfor %}".into(), Some(BOUNDS)),
        ("{% set s = 'a' * 10**6 %}{% for i in range(99999) %}{{ s.count('b') }}{% endfor %}".into(), Some(BOUNDS)),
        ("{% set s = 'é' * 10**6 %}{% for i in range(99999) %}{{ s[-1] }}{% endfor %}".into(), Some(BOUNDS)),
        ("{% set s = 'a' * 10**6 %}{% for i in range(99999) %}{{ s }}{% endfor %}".into(), Some(BOUNDS)),
        ("{% set s = 'a ' * 10**6 %}{{ s|wordwrap(1)|length }}".into(), None),
        ("{% set s = 'a-' * 10**6 %}{{ s|wordwrap(7)|length }}".into(), None),
        ("{% set s = '<' * 10**6 %}{{ s|striptags|length }}".into(), None),
        ("{% set ns = namespace(l=[]) %}{% for i in range(9999) %}{% for j in [1] %}{% set q = loop.changed(loop) %}{% set ns.l = [loop] %}{% endfor %}{% endfor %}ok".into(), None),
        ("{% set ns = namespace() %}{% set ns.a = ns %}{% set ns.b = [ns] %}{{ ns }}".into(), None),
        ("{% set a = namespace() %}{% set b = namespace(a=a) %}{% set a.b = b %}{{ a }}{{ a == b }}".into(), None),
    ];
    for (start, repeated, end) in [
        ("{{ ", "(", ""),
        ("{{ ", "[", ""),
        ("{{ ", "{1:", ""),
        ("{{ ", "a(", ""),
        ("{{ ", "a[", ""),
        ("{{ ", "a|f(", ""),
        ("{{ ", "a is b(", ""),
        ("{{ ", "a or (", ""),
        ("{{ ", "(1 or (1 and (not (1 < (1 + (1 ~ (1 * (1 ** (-(", ""),
        ("{% for ", "(", ""),
        ("{% set ", "(", ""),
        ("", "{% if x %}", ""),
        ("", "{% for x in y %}", ""),
        ("", "{% macro m() %}", ""),
        ("", "{% with %}", ""),
        ("", "{% filter upper %}", ""),
        ("", "{% set x %}", ""),
        ("", "{% call x() %}", ""),
        ("", "{% generation %}", ""),
        ("", "{% autoescape true %}", ""),
        ("", "{% if x %}{% else %}", ""),
    ] {
        all.push((long(start, repeated, 10_000, end), Some(DEPTH)));
    }
    let blocks: String = (0..5000).map(|at| format!("{{% block b{at} %}}")).collect();
    all.push((blocks, Some(DEPTH)));
    // Chains are no nesting.
    for (start, repeated, end) in [
        ("{{ ", "not ", "1 }}"),
        ("{{ 1", "+1", " }}"),
        ("{{ 1", " - 1", " }}"),
        ("{{ 1", "*1", " }}"),
        ("{{ 1", "**1", " }}"),
        ("{{ 1", "~1", " }}"),
        ("{{ 1", " or 1", " }}"),
        ("{{ 1", " and 1", " }}"),
        ("{{ 1", " < 2", " }}"),
        ("{{ ", "-", "1 }}"),
        ("{{ ", "+", "1 }}"),
        ("{{ 'a'", "|e", " }}"),
        ("{{ 'a'", "[0]", " }}"),
        ("{{ 'a'", ".upper()", " }}"),
        ("{{ 'a'", ".b", " }}"),
        ("{{ 1", " if 1", " }}"),
        ("{{ 1", " if 0 else 1", " }}"),
        ("{{ 'a'", " 'a'", " }}"),
        ("{{ 1", ",1", " }}"),
        ("{% if 0 %}", "{% elif 0 %}", "{% endif %}"),
        ("", "{% if 0 %}{% endif %}", ""),
        ("", "{{ x }}", ""),
        ("", "{% set x = 1 %}", ""),
        ("{% set ", "a,", " = 1 %}"),
        ("{% set q", ",a", " = 1 %}"),
        ("", "{# x #}", ""),
        ("", "{", ""),
        ("{{", "{", ""),
    ] {
        all.push((long(start, repeated, 20_000, end), None));
    }
    all
}

/// The table of `payloads`: each ends with one of the errors that it must end with.
#[test]
fn payloads_end_with_an_error() {
    let mut wrong = Vec::new();
    for (template, kinds) in payloads() {
        let shown: String = template.chars().take(100).collect();
        match (kinds, on_small_stack(move || render(&template))) {
            (Some(kinds), Err(error)) if kinds.contains(&error.kind()) => {}
            (Some(_), Err(error)) => wrong.push(format!("{shown}: {error}")),
            (Some(_), Ok(rendered)) => {
                wrong.push(format!("{shown}: rendered {} bytes", rendered.text.len()));
            }
            (None, _) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a template may not see is undefined or refused.
#[test]
fn internals_are_out_of_reach() {
    let refused = [
        "{{ ''.__class__.__mro__ }}",
        "{{ ().__class__.__base__.__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os }}",
        "{{ joiner.__init__.__globals__ }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ lipsum.__globals__['os'] }}",
        "{{ self.__init__.__globals__ }}",
        "{{ self._TemplateReference__context.x }}",
        "{{ range.__self__.x }}",
        "{{ dict.__class__.__mro__ }}",
        "{{ ''['__class__'].x }}",
        "{{ (''|attr('__class__')).x }}",
        "{{ ['']|map(attribute='__class__')|map(attribute='__mro__')|list }}",
        "{{ '{0.__class__.__mro__}'.format('') }}",
        "{{ '{0.__class__.__mro__}'.format_map({'0': ''}) }}",
        "{% macro m() %}{% endmacro %}{{ m.__globals__.x }}",
        "{% macro m() %}{% endmacro %}{{ m._func.x }}",
        "{% for x in [1] %}{{ loop._iterable.x }}{% endfor %}",
        "{{ {}.update({'a': 1}) }}",
        "{{ [].append(1) }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
    ];
    for template in refused {
        assert!(
            render(template).is_err(),
            "{template}: {:?}",
            render(template)
        );
    }
    assert!(
        render("{{ config }}{{ request }}{{ environ }}")
            .unwrap()
            .text
            .is_empty()
    );
}

/// A text that is built from nothing but itself is counted by what of it lives.
#[test]
fn garbage_is_given_back() {
    let template = "{% for i in range(1000) %}{% set x = 'a' * 1000000 %}{% endfor %}done";
    // A gigabyte in all, a megabyte at a time; its work is what ends it.
    let mut options = Options {
        limits: Some(hfcore_jinja::Limits::for_input(100 << 20)),
        ..Options::default()
    };
    let variables = Dict::from_json(&serde_json::Map::new()).unwrap();
    let rendered = Template::new(template)
        .unwrap()
        .render(&variables, &options)
        .unwrap();
    assert_eq!(rendered.text, "done");
    options.limits = None;
    let error = Template::new(template)
        .unwrap()
        .render(&variables, &options)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Steps);
}
