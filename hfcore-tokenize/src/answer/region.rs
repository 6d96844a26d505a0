//! An answer as regions: text between an opening and a closing anchor, and the text around them.
//!
//! Reference: `ResponseParser` in transformers 5.23 `utils/chat_parsing/response_parser.py`; the state machine, its order of
//! precedence and what it holds back are the same. It knows nothing of what a region means.

use std::ops::Range;

use super::anchor::{Anchor, Found};

/// One kind of region.
#[derive(Clone, Debug, Default)]
pub(super) struct Region {
    pub(super) name: String,
    /// None for the text around the others.
    pub(super) open: Option<Anchor>,
    /// None where only the end of the answer closes it.
    pub(super) close: Option<Anchor>,
    /// Opens only where nothing but blanks came before it.
    pub(super) at_start: bool,
    /// The opening anchor belongs to the body (a `{` that begins a JSON object).
    pub(super) keeps_anchor: bool,
    /// A mark that says nothing: it opens and closes no region, and is left out.
    pub(super) mark: bool,
    /// Whether a body that has begun so can still become one; a region that cannot is text after all.
    pub(super) viable: Option<fn(&str) -> bool>,
}

/// What happened, in order.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    /// A region began.
    Open(usize),
    /// Its text goes on.
    Chunk(usize, String),
    /// It ended.
    Close(Closed),
    /// It turned out to be none: its text comes again as that of the region around.
    Withdrawn(usize),
}

/// A region that ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Closed {
    pub(super) region: usize,
    pub(super) body: String,
    /// The opening anchor's text; empty where it belongs to the body.
    pub(super) open: String,
    /// The closing anchor's text; empty at the end of the answer.
    pub(super) close: String,
    /// The named groups of the opening anchor.
    pub(super) captures: Vec<(String, String)>,
}

/// Finds the regions of an answer that arrives in pieces.
#[derive(Clone, Debug)]
pub(super) struct Scanner {
    regions: Vec<Region>,
    implicit: Option<usize>,
    buffer: String,
    current: Option<usize>,
    opened: bool,
    state: Closed,
    /// Nothing but blanks so far.
    at_start: bool,
}

/// An anchor that fired.
struct Fired {
    opens: bool,
    region: usize,
    at: Range<usize>,
}

impl Scanner {
    /// At most one of `regions` has no opening anchor: the text around the others.
    pub(super) fn new(regions: Vec<Region>) -> Self {
        let implicit = regions.iter().position(|region| region.open.is_none());
        Self {
            regions,
            implicit,
            buffer: String::new(),
            current: implicit,
            opened: false,
            state: Closed::default(),
            at_start: true,
        }
    }

    /// Takes more text; at the end, `complete`.
    pub(super) fn feed(&mut self, text: &str, complete: bool, events: &mut Vec<Event>) {
        self.buffer.push_str(text);
        loop {
            let (fired, hold) = self.scan(complete);
            let Some(Fired { opens, region, at }) = fired else {
                let end = if complete { self.buffer.len() } else { hold };
                self.accumulate(end, events);
                if self.withdrawn(events) {
                    continue;
                }
                if complete {
                    self.close("", events);
                }
                break;
            };
            let anchor = self.buffer[at.clone()].to_owned();
            let captures = match &self.regions[region].open {
                Some(open) if opens => open.captures(&self.buffer, &at),
                _ => Vec::new(),
            };
            self.accumulate(at.start, events);
            if self.withdrawn(events) {
                continue;
            }
            self.buffer.drain(..anchor.len());
            if opens && self.regions[region].mark {
                self.close("", events);
            } else if opens {
                self.close("", events);
                self.open(region, anchor, captures, events);
            } else {
                let had_text = self.opened;
                self.close(&anchor, events);
                // A close of no width fires again and again.
                if !had_text && anchor.is_empty() {
                    break;
                }
            }
        }
    }

    /// The anchors that can fire now: the close of the open region, or every open and the close of the text around.
    fn scan(&self, complete: bool) -> (Option<Fired>, usize) {
        let mut hold = self.buffer.len();
        let mut best: Option<Fired> = None;
        let mut look = |opens: bool, region: usize, anchor: &Anchor| match anchor.search(
            &self.buffer,
            0,
            complete,
        ) {
            None => {}
            Some(Found::Pending(from)) => hold = hold.min(from),
            Some(Found::Match(at)) => {
                let rank = |fired: &Fired| {
                    let Range { start, end } = fired.at;
                    (start, std::cmp::Reverse(end), !fired.opens)
                };
                let fired = Fired { opens, region, at };
                let name = |fired: &Fired| self.regions[fired.region].name.as_str();
                let better = best
                    .as_ref()
                    .is_none_or(|best| (rank(&fired), name(&fired)) < (rank(best), name(best)));
                if better {
                    best = Some(fired);
                }
            }
        };
        let explicit = self.current.filter(|_| self.current != self.implicit);
        for (index, region) in self.regions.iter().enumerate() {
            match (explicit, &region.open, &region.close) {
                (Some(current), _, Some(close)) if current == index => look(false, index, close),
                (Some(_), _, _) => {}
                (None, Some(open), _) if !region.at_start || self.starts(open) => {
                    look(true, index, open);
                }
                (None, None, Some(close)) => look(false, index, close),
                (None, _, _) => {}
            }
        }
        // One that begins no earlier than something pending must wait: that one may be what fires.
        (best.filter(|best| best.at.start < hold || complete), hold)
    }

    /// Whether the answer begins with this anchor, or still may.
    fn starts(&self, open: &Anchor) -> bool {
        let blanks = self.buffer.len() - self.buffer.trim_start().len();
        let begin = match open.search(&self.buffer, 0, false) {
            Some(Found::Match(at)) => at.start,
            Some(Found::Pending(at)) => at,
            None => return false,
        };
        self.at_start && begin <= blanks
    }

    /// The buffer up to `end` is text of the current region.
    fn accumulate(&mut self, end: usize, events: &mut Vec<Event>) {
        if end == 0 {
            return;
        }
        let text: String = self.buffer.drain(..end).collect();
        self.at_start &= text.trim().is_empty();
        let Some(current) = self.current else { return };
        if !self.opened {
            events.push(Event::Open(current));
            self.opened = true;
        }
        self.state.body.push_str(&text);
        events.push(Event::Chunk(current, text));
    }

    /// Gives up on a region whose body cannot become one: the text goes back, and this region opens no more.
    fn withdrawn(&mut self, events: &mut Vec<Event>) -> bool {
        let Some(current) = self.current.filter(|_| self.opened) else {
            return false;
        };
        let region = &mut self.regions[current];
        if region.viable.is_none_or(|viable| viable(&self.state.body)) {
            return false;
        }
        region.viable = None;
        region.at_start = true;
        self.at_start = false;
        let state = std::mem::take(&mut self.state);
        let before = state.open + &state.body;
        self.buffer.insert_str(0, &before);
        self.current = self.implicit;
        self.opened = false;
        events.push(Event::Withdrawn(current));
        true
    }

    fn open(
        &mut self,
        region: usize,
        anchor: String,
        captures: Vec<(String, String)>,
        events: &mut Vec<Event>,
    ) {
        self.current = Some(region);
        self.opened = true;
        self.at_start = false;
        self.state = Closed {
            region,
            captures,
            ..Closed::default()
        };
        if self.regions[region].keeps_anchor {
            self.state.body = anchor;
        } else {
            self.state.open = anchor;
        }
        events.push(Event::Open(region));
        if !self.state.body.is_empty() {
            events.push(Event::Chunk(region, self.state.body.clone()));
        }
    }

    fn close(&mut self, anchor: &str, events: &mut Vec<Event>) {
        let state = std::mem::take(&mut self.state);
        if let Some(region) = self.current.filter(|_| self.opened) {
            events.push(Event::Close(Closed {
                region,
                close: anchor.to_owned(),
                ..state
            }));
        }
        self.current = self.implicit;
        self.opened = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanner() -> Scanner {
        let region = |name: &str, open: &str, close: &str| Region {
            name: name.to_owned(),
            open: Some(Anchor::literals([open])),
            close: Some(Anchor::literals([close])),
            ..Region::default()
        };
        let around = Region {
            name: "content".to_owned(),
            ..Region::default()
        };
        Scanner::new(vec![region("think", "<t>", "</t>"), around])
    }

    /// Events with the chunks of one region in a row joined.
    fn events(pieces: &[&str]) -> Vec<String> {
        let (mut scanner, mut events) = (scanner(), Vec::new());
        for piece in pieces {
            scanner.feed(piece, false, &mut events);
        }
        scanner.feed("", true, &mut events);
        let mut lines: Vec<String> = Vec::new();
        for event in events {
            match event {
                Event::Open(region) => lines.push(format!("{region}:")),
                Event::Chunk(_, text) => lines.last_mut().unwrap().push_str(&text),
                Event::Close(closed) => assert!(lines.last().unwrap().ends_with(&closed.body)),
                Event::Withdrawn(_) => panic!(),
            }
        }
        lines
    }

    #[test]
    fn pieces_make_no_difference() {
        let text = "a<t>b<c</t>d</t><t>e";
        let whole = events(&[text]);
        assert_eq!(whole, ["1:a", "0:b<c", "1:d</t>", "0:e"]);
        for at in 1..text.len() {
            assert_eq!(events(&[&text[..at], &text[at..]]), whole);
        }
        let single: Vec<String> = text.chars().map(String::from).collect();
        let single: Vec<&str> = single.iter().map(String::as_str).collect();
        assert_eq!(events(&single), whole);
    }

    #[test]
    fn what_cannot_be_an_anchor_is_given_at_once() {
        let (mut scanner, mut events) = (scanner(), Vec::new());
        scanner.feed("ab<", false, &mut events);
        assert_eq!(events, [Event::Open(1), Event::Chunk(1, "ab".to_owned())]);
        events.clear();
        scanner.feed("c", false, &mut events);
        assert_eq!(events, [Event::Chunk(1, "<c".to_owned())]);
    }
}
