//! Values of mirrored headers survive their encoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::mcp::{ServerName, decode_sentinel, encode_sentinel, federated, split_federated};

fuzz_target!(|text: &str| {
    let _ = decode_sentinel(text);
    if text.len() < 4096 {
        let header = encode_sentinel(text);
        assert_eq!(decode_sentinel(&header).as_deref(), Some(text));
    }
    if let Some((server, tool)) = split_federated(text) {
        assert_eq!(federated(&server, tool), text);
    }
    if let Ok(name) = ServerName::from_label(text) {
        assert_eq!(ServerName::parse(name.as_str()).as_ref(), Ok(&name));
    }
});
