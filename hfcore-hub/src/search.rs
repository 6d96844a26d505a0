//! Finding models on the Hub: `GET /api/models` with the parameters that Python's `list_models` sends, page by page.

use serde_json::{Map, Value};

use crate::error::HubError;
use crate::http::pages::Pages;
use crate::http::request::Method;
use crate::hub::Hub;
use crate::info::ModelInfo;
use crate::repo::{RepoId, percent_encode};

/// By what models are ordered, the greatest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ModelSort {
    /// Downloads in the last 30 days.
    Downloads,
    /// How many people like it.
    Likes,
    /// How much it is talked about.
    TrendingScore,
    /// The newest first.
    CreatedAt,
    /// The last changed first.
    LastModified,
}

impl ModelSort {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Downloads,
        Self::Likes,
        Self::TrendingScore,
        Self::CreatedAt,
        Self::LastModified,
    ];

    /// As Python names it: `trending_score`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Downloads => "downloads",
            Self::Likes => "likes",
            Self::TrendingScore => "trending_score",
            Self::CreatedAt => "created_at",
            Self::LastModified => "last_modified",
        }
    }

    /// The order that Python names so.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sort| sort.as_str() == name)
    }

    /// As the Hub's API names it.
    const fn parameter(self) -> &'static str {
        match self {
            Self::Downloads => "downloads",
            Self::Likes => "likes",
            Self::TrendingScore => "trendingScore",
            Self::CreatedAt => "createdAt",
            Self::LastModified => "lastModified",
        }
    }
}

/// Which models are looked for. The default is all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct ModelSearch {
    filters: Vec<String>,
    author: Option<String>,
    gated: Option<bool>,
    inference: Option<String>,
    pipeline_tag: Option<String>,
    num_parameters: Option<String>,
    search: Option<String>,
    sort: Option<ModelSort>,
    limit: Option<usize>,
    full: bool,
    config: bool,
    card_data: bool,
    expand: Vec<String>,
}

impl ModelSearch {
    /// All models.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whose id contains this text.
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.search = Some(text.into());
        self
    }

    /// For this task: `text-generation`.
    pub fn task(mut self, pipeline_tag: impl Into<String>) -> Self {
        self.pipeline_tag = Some(pipeline_tag.into());
        self
    }

    /// With this tag. Several must all be there.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.filters.push(tag.into());
        self
    }

    /// For this library: `transformers`, `gguf`.
    pub fn library(self, library: impl Into<String>) -> Self {
        self.tag(library)
    }

    /// In this language: `en`.
    pub fn language(self, language: impl Into<String>) -> Self {
        self.tag(language)
    }

    /// Under this licence: `apache-2.0`.
    pub fn license(self, license: &str) -> Self {
        self.prefixed("license:", license)
    }

    /// Trained with this dataset: `org/name`.
    pub fn dataset(self, dataset: &str) -> Self {
        self.prefixed("dataset:", dataset)
    }

    /// Made from this model, in whatever way.
    pub fn base_model(self, base: &RepoId) -> Self {
        self.prefixed("base_model:", base.as_str())
    }

    fn prefixed(self, prefix: &str, name: &str) -> Self {
        let name = name.strip_prefix(prefix).unwrap_or(name);
        self.tag(format!("{prefix}{name}"))
    }

    /// Of this user or organisation.
    pub fn author(mut self, author: impl Into<String>) -> Self {
        self.author = Some(author.into());
        self
    }

    /// Gated ones only, or open ones only.
    pub fn gated(mut self, gated: bool) -> Self {
        self.gated = Some(gated);
        self
    }

    /// That some provider runs as a service.
    pub fn warm(mut self) -> Self {
        self.inference = Some("warm".to_owned());
        self
    }

    /// With so many parameters: `min:6B,max:128B`, either alone.
    pub fn parameters(mut self, range: impl Into<String>) -> Self {
        self.num_parameters = Some(range.into());
        self
    }

    /// In this order. Without one the Hub chooses: by trend.
    pub fn sort(mut self, sort: ModelSort) -> Self {
        self.sort = Some(sort);
        self
    }

    /// No more than so many. Without a limit pages are asked for as they are used.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// With commit, files and dates.
    pub fn full(mut self) -> Self {
        self.full = true;
        self
    }

    /// With the data of the cards.
    pub fn card_data(mut self) -> Self {
        self.card_data = true;
        self
    }

    /// With the summary of the configurations.
    pub fn config(mut self) -> Self {
        self.config = true;
        self
    }

    /// With this property and others so named, and nothing else: `downloads`, `safetensors`, `cardData` … The Hub takes
    /// it without [`full`](Self::full), [`card_data`](Self::card_data) and [`config`](Self::config) only.
    pub fn expand(mut self, property: impl Into<String>) -> Self {
        self.expand.push(property.into());
        self
    }

    /// The path and the query, byte for byte as Python sends them.
    fn path(&self) -> Result<String, HubError> {
        if !self.expand.is_empty() && (self.full || self.card_data || self.config) {
            return Err(HubError::Argument {
                what: "`expand`".to_owned(),
                why: "it cannot be used with `full`, `card_data` or `config`".to_owned(),
            });
        }
        let mut query = Query::default();
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        query.all("filter", &self.filters);
        query.one("author", given(&self.author));
        query.one("gated", self.gated.map(|gated| gated.to_string()));
        query.one("inference", self.inference.clone());
        query.one("pipeline_tag", given(&self.pipeline_tag));
        query.one("num_parameters", self.num_parameters.clone());
        query.one("search", given(&self.search));
        query.one("sort", self.sort.map(|sort| sort.parameter().to_owned()));
        query.one("limit", self.limit.map(|limit| limit.to_string()));
        for (name, set) in [
            ("full", self.full),
            ("config", self.config),
            ("cardData", self.card_data),
        ] {
            query.one(name, set.then(|| "true".to_owned()));
        }
        query.all("expand", &self.expand);
        Ok(format!("/api/models{}", query.0))
    }
}

/// Names and values as forms encode them.
#[derive(Default)]
struct Query(String);

impl Query {
    fn one(&mut self, name: &str, value: Option<String>) {
        if let Some(value) = value {
            let separator = if self.0.is_empty() { '?' } else { '&' };
            let value = percent_encode(&value).replace("%20", "+");
            self.0 += &format!("{separator}{name}={value}");
        }
    }

    fn all(&mut self, name: &str, values: &[String]) {
        for value in values {
            self.one(name, Some(value.clone()));
        }
    }
}

/// Models as they are found. A page is asked for when the one before is used up; after an error nothing more comes.
#[derive(Debug)]
pub struct FoundModels<'a> {
    pages: Pages<'a, Map<String, Value>>,
    left: usize,
    endpoint: &'a str,
}

impl Iterator for FoundModels<'_> {
    type Item = Result<ModelInfo, HubError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let found = self.pages.next()?.and_then(|reply| {
            ModelInfo::from_json(reply).map_err(|why| HubError::BadReply {
                url: format!("{}/api/models", self.endpoint),
                why,
            })
        });
        if found.is_err() {
            self.left = 0;
        }
        Some(found)
    }
}

impl Hub {
    /// Looks for models. Nothing is sent before the first one is asked for.
    ///
    /// # Errors
    /// If the search cannot be asked for.
    pub fn search_models(&self, search: &ModelSearch) -> Result<FoundModels<'_>, HubError> {
        let request = self
            .http()
            .api(Method::Get, &search.path()?)?
            .doing("searching for models");
        Ok(FoundModels {
            pages: self.http().pages(request),
            left: search.limit.unwrap_or(usize::MAX),
            endpoint: self.endpoint(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected: what `HfApi().list_models` of `huggingface_hub` 2.4.0 asks a server for.
    #[test]
    fn queries_are_pythons() {
        let base = RepoId::parse("org/base").unwrap();
        for (search, path) in [
            (ModelSearch::new(), "/api/models"),
            (
                ModelSearch::new().text("llama 3 \u{e9}/&=+~'()*!"),
                "/api/models?search=llama+3+%C3%A9%2F%26%3D%2B~%27%28%29%2A%21",
            ),
            (
                ModelSearch::new()
                    .library("transformers")
                    .license("mit")
                    .language("en")
                    .author("meta-llama")
                    .gated(true)
                    .task("text-generation")
                    .sort(ModelSort::TrendingScore)
                    .limit(5),
                "/api/models?filter=transformers&filter=license%3Amit&filter=en&author=meta-llama&gated=true\
                 &pipeline_tag=text-generation&sort=trendingScore&limit=5",
            ),
            (
                ModelSearch::new().gated(false).sort(ModelSort::CreatedAt),
                "/api/models?gated=false&sort=createdAt",
            ),
            (
                ModelSearch::new()
                    .sort(ModelSort::LastModified)
                    .full()
                    .card_data()
                    .config(),
                "/api/models?sort=lastModified&full=true&config=true&cardData=true",
            ),
            (
                ModelSearch::new()
                    .sort(ModelSort::Downloads)
                    .expand("downloads")
                    .expand("likes")
                    .expand("model-index"),
                "/api/models?sort=downloads&expand=downloads&expand=likes&expand=model-index",
            ),
            (
                ModelSearch::new()
                    .dataset("x")
                    .dataset("dataset:y")
                    .warm()
                    .parameters("min:6B,max:128B"),
                "/api/models?filter=dataset%3Ax&filter=dataset%3Ay&inference=warm&num_parameters=min%3A6B%2Cmax%3A128B",
            ),
            (
                ModelSearch::new().tag("a,b").base_model(&base),
                "/api/models?filter=a%2Cb&filter=base_model%3Aorg%2Fbase",
            ),
            (ModelSearch::new().text("").task(""), "/api/models"),
        ] {
            assert_eq!(search.path().unwrap(), path);
        }
        let error = ModelSearch::new().expand("sha").full().path().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`expand` cannot be used: it cannot be used with `full`, `card_data` or `config`"
        );
    }

    #[test]
    fn orders_have_pythons_names() {
        for sort in ModelSort::ALL {
            assert_eq!(ModelSort::from_name(sort.as_str()), Some(sort));
        }
        assert_eq!(ModelSort::from_name("trendingScore"), None);
    }
}
