//! Requests to models and their answers: what is taken can be sent and said again, and no body grows on the way.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::{
    bounds::ANSWER,
    framing::EventReader,
    json::{Document, Edits, Keys},
    jsonrpc::Answer,
    model::{Api, answer, read, refused, request, stream, tokens, write},
};

/// Names of members and keys of an event come to less than this for one byte of an answer.
const GROWS_MAX: usize = 1_000;

fuzz_target!(|input: (u8, &[u8])| {
    let (which, body) = input;
    let api = match which % 3 {
        0 => Api::Chat,
        1 => Api::Messages,
        _ => Api::Responses,
    };
    if let Ok(message) = request(api.method(), body) {
        let params = message.params().expect("a request has parameters");
        if read(api, params).is_ok() {
            let sent = write(api, params, &Edits::default(), "m");
            let sent = Document::parse(sent, Keys::Folded, &ANSWER).expect("what is sent is JSON");
            assert!(sent.root().get("model").is_some_and(|model| model.is_str("m")));
        }
    }
    let _ = refused(400, body);
    if let Ok(response) = answer(api, body) {
        let (Answer::Result(said) | Answer::Error(said)) = response.answer();
        let _ = tokens(said);
        let events = stream(api, said, which > 127);
        assert!(
            events.len() < (body.len() + 64) * GROWS_MAX,
            "{} of {}",
            events.len(),
            body.len()
        );
        let mut reader = EventReader::new(events.len() + 1);
        let mut count = 0;
        reader.push(&events, |_| count += 1).expect("our own events");
        assert!(count > 0);
    }
});
