//! What a model was made from: the base models that cards name, followed upwards.

use std::collections::HashSet;

use crate::card::BaseModelRelation;
use crate::error::HubError;
use crate::hub::Hub;
use crate::info::ModelInfo;
use crate::repo::{RepoId, Revision};

/// A model from which another was made.
#[derive(Debug)]
#[non_exhaustive]
pub struct Ancestor {
    /// Its id, as the card of the model that was made from it says.
    pub id: RepoId,
    /// The model that was made from it.
    pub child: RepoId,
    /// How, if that model's card says.
    pub relation: Option<BaseModelRelation>,
    /// 1 for what the model itself was made from, 2 for what that was made from …
    pub depth: usize,
    /// Why nothing is known about its own origin: it is gone, private, gated.
    pub unknown: Option<HubError>,
}

/// More ancestors than that are not asked for.
const MAX_ANCESTORS: usize = 64;

impl Hub {
    /// What a model was made from, what that was made from, and so on, at most `max_depth` steps up and 64 models in all:
    /// the nearest first, none twice. An ancestor that cannot be seen is part of the answer; its own ancestors are not.
    ///
    /// # Errors
    /// As [`model_info`](Self::model_info), about the model itself; for an ancestor, if the Hub cannot be asked at all.
    pub fn lineage(
        &self,
        id: &RepoId,
        revision: &Revision,
        max_depth: usize,
    ) -> Result<Vec<Ancestor>, HubError> {
        let info = self.model_info(id, revision)?;
        let mut seen = HashSet::from([id.clone(), info.id.clone()]);
        let mut found: Vec<Ancestor> = Vec::new();
        add_parents(&info, 1, max_depth, &mut seen, &mut found);
        let mut next = 0;
        while let Some(ancestor) = found.get(next) {
            let (id, depth) = (ancestor.id.clone(), ancestor.depth);
            if depth < max_depth {
                let path = format!("/api/models/{id}?expand=cardData");
                match self.ask_for_info(&id, None, &path) {
                    Ok(info) => {
                        seen.insert(info.id.clone());
                        add_parents(&info, depth + 1, max_depth, &mut seen, &mut found);
                    }
                    Err(
                        error @ (HubError::RepositoryNotFound { .. }
                        | HubError::Gated { .. }
                        | HubError::Disabled { .. }
                        | HubError::Forbidden { .. }),
                    ) => found[next].unknown = Some(error),
                    Err(error) => return Err(error),
                }
            }
            next += 1;
        }
        Ok(found)
    }
}

/// The base models of `info` that were not seen yet.
fn add_parents(
    info: &ModelInfo,
    depth: usize,
    max_depth: usize,
    seen: &mut HashSet<RepoId>,
    found: &mut Vec<Ancestor>,
) {
    let Some(card) = info.card_data.as_ref().filter(|_| depth <= max_depth) else {
        return;
    };
    let ids = card.base_model.iter().flat_map(|ids| ids.iter());
    for id in ids.filter_map(|id| RepoId::parse(id).ok()) {
        if found.len() < MAX_ANCESTORS && seen.insert(id.clone()) {
            found.push(Ancestor {
                id,
                child: info.id.clone(),
                relation: card.base_model_relation(),
                depth,
                unknown: None,
            });
        }
    }
}
