//! Replies that come in pages, each naming the next in its `Link` header (RFC 8288), as the Hub's listings do.

use std::collections::HashSet;

use serde::de::DeserializeOwned;

use super::Http;
use super::address::Address;
use super::request::Request;
use crate::error::HubError;

/// A thousand files a page: far above any repository.
const MAX_PAGES: usize = 10_000;

/// The entries of all pages, in their order. Each page is an array, asked for when the one before is used up; after an
/// error nothing more comes.
#[derive(Debug)]
pub(crate) struct Pages<'a, T> {
    http: &'a Http,
    next: Option<Request>,
    visited: HashSet<Address>,
    page: std::vec::IntoIter<T>,
}

impl<'a, T: DeserializeOwned> Pages<'a, T> {
    pub(crate) fn new(http: &'a Http, first: Request) -> Self {
        Self {
            http,
            visited: HashSet::from([first.address.clone()]),
            next: Some(first),
            page: Vec::new().into_iter(),
        }
    }

    fn fetch(&mut self, request: Request) -> Result<(), HubError> {
        let response = self.http.send(&request)?;
        let refuse = |why: &str| response.refuse(why);
        let links = response
            .headers
            .get_all("link")
            .iter()
            .filter_map(|link| link.to_str().ok());
        if let Some(link) = links.filter_map(next_link).next() {
            let next = response
                .address()
                .join(link)
                .map_err(|why| refuse(&format!("the address of its next page: {why}")))?;
            // A page elsewhere would get no token, and be no page of this Hub.
            if !next.same_origin(&request.address) {
                return Err(refuse("its next page is on another host"));
            }
            if self.visited.len() >= MAX_PAGES {
                return Err(refuse("it has more than 10,000 pages"));
            }
            if !self.visited.insert(next.clone()) {
                return Err(refuse("its next page was there before"));
            }
            self.next = Some(Request {
                address: next,
                ..request
            });
        }
        self.page = response.json::<Vec<T>>()?.into_iter();
        Ok(())
    }
}

impl<T: DeserializeOwned> Iterator for Pages<'_, T> {
    type Item = Result<T, HubError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.page.next() {
                return Some(Ok(entry));
            }
            let request = self.next.take()?;
            if let Err(error) = self.fetch(request) {
                self.next = None;
                return Some(Err(error));
            }
        }
    }
}

/// The target of the link whose relation is `next`: `<https://…?cursor=x>; rel="next", <…>; rel="first"`.
fn next_link(header: &str) -> Option<&str> {
    link(header, "next")
}

/// The target of the link with this relation.
pub(crate) fn link<'a>(header: &'a str, relation: &str) -> Option<&'a str> {
    let mut rest = header;
    loop {
        // A target may hold commas, so links are not split at them.
        let start = rest.find('<')?;
        let end = start + rest[start..].find('>')?;
        let target = &rest[start + 1..end];
        let parameters_end = rest[end..].find('<').map_or(rest.len(), |at| end + at);
        for parameter in rest[end + 1..parameters_end].split([';', ',']) {
            let Some((name, value)) = parameter.split_once('=') else {
                continue;
            };
            let value = value.trim().trim_matches('"');
            if name.trim().eq_ignore_ascii_case("rel")
                && value.split(' ').any(|word| word == relation)
            {
                return Some(target);
            }
        }
        rest = &rest[parameters_end..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found() {
        for (header, next) in [
            (
                "<https://h/x?cursor=a,b>; rel=\"next\"",
                Some("https://h/x?cursor=a,b"),
            ),
            ("<a>; rel=first, <b>; title=\"t\"; rel=next", Some("b")),
            ("<a>; rel=\"prev next\"", Some("a")),
            ("<a>; rel=\"nextish\"", None),
            ("<a>", None),
            ("<a; rel=next", None),
            ("", None),
        ] {
            assert_eq!(next_link(header), next, "{header}");
        }
    }
}
