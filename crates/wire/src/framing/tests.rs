use proptest::prelude::*;

use super::*;

fn lines(chunks: &[&[u8]], max: usize) -> Vec<Line> {
    let mut lines = Lines::new(max);
    let mut out = Vec::new();
    for chunk in chunks {
        lines.push(chunk);
        while let Some(line) = lines.next_line() {
            out.push(line);
        }
    }
    out
}

#[test]
fn lines_are_cut_whatever_the_chunks() {
    let whole = |text: &str| Line::Whole(text.as_bytes().to_vec());
    assert_eq!(lines(&[b"a\nb\r\n\n\nc"], 10), [whole("a"), whole("b")]);
    assert_eq!(lines(&[b"a", b"b", b"\nc\n"], 10), [whole("ab"), whole("c")]);
    assert_eq!(lines(&[b"0123456789\n"], 10), [whole("0123456789")]);
    // Found by fuzzing: the longest line was dropped when its end came in two pieces.
    assert_eq!(lines(&[b"0123456789\r", b"\n"], 10), [whole("0123456789")]);
    assert_eq!(lines(&[b"0123456789\r", b"a\n"], 10), [Line::TooLong]);
}

#[test]
fn a_line_that_never_ends_is_dropped_and_the_next_is_read() {
    let whole = |text: &str| Line::Whole(text.as_bytes().to_vec());
    assert_eq!(lines(&[b"0123456789a\nok\n"], 10), [Line::TooLong, whole("ok")]);
    let flood = vec![b'x'; 1000];
    let mut lines = Lines::new(10);
    for _ in 0..1000 {
        lines.push(&flood);
        assert_eq!(lines.next_line(), None);
        assert!(lines.held.capacity() < 4096, "a flood is not kept");
    }
    lines.push(b"\nok\n");
    assert_eq!(lines.next_line(), Some(Line::TooLong));
    assert_eq!(lines.next_line(), Some(whole("ok")));
}

/// What a blocking stream says is read to its end, also where it ends within a line.
#[test]
fn each_line_of_a_stream_is_read_and_blank_ones_are_not() {
    let whole = |text: &str| Line::Whole(text.as_bytes().to_vec());
    for (said, wanted) in [
        ("a\n \n\r\nb", vec![whole("a"), whole("b")]),
        ("a\n\t ", vec![whole("a")]),
        ("0123456789a\nb\n", vec![Line::TooLong, whole("b")]),
        ("0123456789a", vec![Line::TooLong]),
        ("", vec![]),
    ] {
        for capacity in [1, 3, 64] {
            let mut read = Vec::new();
            let stream = std::io::BufReader::with_capacity(capacity, said.as_bytes());
            let all = each_line(stream, 10, |line| {
                read.push(line);
                Ok(())
            });
            all.expect("it is read");
            assert_eq!(read, wanted, "{said:?} by {capacity}");
        }
    }
    let stop = || std::io::Error::other("enough");
    assert!(each_line(&b"a\nb\n"[..], 10, |_| Err(stop())).is_err());
}

fn events(chunks: &[&[u8]]) -> Vec<Event> {
    let mut reader = EventReader::new(64);
    let mut out = Vec::new();
    for chunk in chunks {
        reader
            .push(chunk, |event| out.push(event))
            .expect("within bounds");
    }
    out
}

#[test]
fn events_are_read_as_the_standard_says() {
    let data = |data: &str| Event {
        data: data.as_bytes().to_vec(),
        ..Event::default()
    };
    assert_eq!(events(&[b"data: a\n\n"]), [data("a")]);
    assert_eq!(events(&[b"data:a\rdata: b\r\ndata\r\n\r\n"]), [data("a\nb\n")]);
    assert_eq!(
        events(&[b"\xEF\xBB\xBFdata: a\n\n: comment\n\nevent: x\n\ndata: b\n\n"]),
        [data("a"), data("b")]
    );
    assert_eq!(
        events(&[b"id: 1\nretry: 10\nevent: endpoint\nda", b"ta: /m\r", b"\n\r\n"]),
        [Event {
            name: "endpoint".into(),
            id: Some("1".into()),
            retry_ms: Some(10),
            data: b"/m".to_vec()
        }]
    );
    assert_eq!(
        events(&[b"id: 7\ndata:\n\n"]),
        [Event {
            id: Some("7".into()),
            ..Event::default()
        }]
    );
    assert_eq!(events(&[b"data: unfinished\n"]), []);
}

#[test]
fn an_event_that_grows_without_end_is_given_up() {
    let mut reader = EventReader::new(64);
    let grown = (0..100).find_map(|_| reader.push(b"data: 0123456789\n", |_| {}).err());
    assert_eq!(grown, Some(EventError::TooLong));
    let mut reader = EventReader::new(64);
    let endless = (0..100).find_map(|_| reader.push(b"data: 0123456789", |_| {}).err());
    assert_eq!(endless, Some(EventError::TooLong));
}

#[test]
fn data_cannot_forge_a_field() {
    let event = Event {
        name: "a\nid: 9".into(),
        id: Some("1\r\ndata: x".into()),
        retry_ms: None,
        data: b"one\n\nevent: forged\r\nid: 2".to_vec(),
    };
    let read = events(&[&write_event(&event)]);
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].name, "aid: 9");
    assert_eq!(read[0].id.as_deref(), Some("1data: x"));
    assert_eq!(read[0].data, b"one\n\nevent: forged\n\nid: 2");
}

proptest! {
    #[test]
    fn events_survive_any_cutting(datas in prop::collection::vec("[a-z\n ]{0,20}", 0..6), cut in 1usize..9) {
        let bytes: Vec<u8> = datas.iter().flat_map(|data| {
            write_event(&Event { id: Some("1".into()), data: data.as_bytes().to_vec(), ..Event::default() })
        }).collect();
        let chunks: Vec<&[u8]> = bytes.chunks(cut).collect();
        let read: Vec<Vec<u8>> = events(&chunks).into_iter().map(|event| event.data).collect();
        let written: Vec<Vec<u8>> = datas.into_iter().map(String::into_bytes).collect();
        prop_assert_eq!(read, written);
    }

    #[test]
    fn no_stream_makes_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = EventReader::new(32).push(&bytes, |_| {});
        let mut lines = Lines::new(32);
        lines.push(&bytes);
        while lines.next_line().is_some() {}
    }
}
