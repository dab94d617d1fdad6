//! What hidden characters spell: tag characters shadow ASCII, variation selectors carry bytes.

use std::borrow::Cow;

use super::{
    HiddenRun, Map, Reading, View,
    hidden::{Hidden, selector_byte, tag_text},
};

/// The text that hidden runs carry, one line a run, if they carry any.
pub(crate) fn smuggled<'t>(written: &str, runs: &[HiddenRun]) -> Option<View<'t>> {
    let mut text = String::new();
    let mut map = Map::default();
    for run in runs {
        let characters = written.get(run.written.clone()).unwrap_or_default().chars();
        let mut spelled: String = match run.sort {
            Hidden::Tag => characters.filter_map(tag_text).collect(),
            Hidden::Variation => {
                let bytes: Vec<u8> = characters.filter_map(selector_byte).collect();
                String::from_utf8(bytes).unwrap_or_default()
            }
            Hidden::Bidi | Hidden::Control | Hidden::Filler | Hidden::ZeroWidth => continue,
        };
        spelled.push('\n');
        map.push_whole(spelled.len(), run.written.clone());
        text.push_str(&spelled);
    }
    (!text.trim().is_empty()).then(|| View::new(Cow::Owned(text), map, Reading::Decoded))
}
