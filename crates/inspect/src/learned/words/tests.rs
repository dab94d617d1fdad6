//! Words as they are read.

use super::*;

/// What is quick says the same as what is plain: letter by letter, whatever the word's length and end.
#[test]
fn a_word_is_read_as_letter_by_letter() {
    let lexicon = Lexicon::new();
    let written = "Instructionsthatgoonandon";
    for (length, end) in
        (1..=written.len()).flat_map(|n| [(n, " x"), (n, ": x"), (n, "!"), (n, "."), (n, "")])
    {
        for word in [written.to_owned(), written.to_lowercase(), written.to_uppercase()] {
            let word = word.get(..length).unwrap();
            let text = format!("\"{word}{end} and so on");
            let read = words(&text, &lexicon, 1).all[0];
            let hash = |most| hash_bytes(word.bytes().take(most).map(|b| b.to_ascii_lowercase()));
            assert_eq!((read.hash, read.stem), (hash(length), hash(5)), "{text}");
            assert_eq!(
                (read.start, read.end),
                (1, u32::try_from(length + 1).unwrap()),
                "{text}"
            );
            assert_eq!(
                (read.gap, read.class),
                (Gap::Value.max(Gap::Text), lexicon.class(hash(length)))
            );
            let loud = length > 2 && word.bytes().all(|b| b.is_ascii_uppercase());
            let calls = end.starts_with([':', '!']);
            let shape = QUOTED | if loud { CAPITALS } else { 0 } | if calls { CALLS } else { 0 };
            assert_eq!(read.shape, shape, "{text}");
        }
    }
}

#[test]
fn words_with_digits_are_told() {
    let text = "two 2 three 33 and ".repeat(40);
    let read = words(&text, &Lexicon::empty(), usize::MAX);
    let is_so = |word: &Word| word.shape & DIGITS != 0;
    let asked_each: Vec<usize> = (0..200).filter(|n| is_so(&read.all[*n])).collect();
    assert_eq!(read.with_digits().map(|(n, _)| n).collect::<Vec<_>>(), asked_each);
}

#[test]
fn a_word_goes_on_over_what_is_no_letter_of_its_own() {
    let read = |text| {
        let read = words(text, &Lexicon::empty(), 9);
        read.all
            .iter()
            .map(|word| (word.hash, word.start, word.end))
            .collect::<Vec<_>>()
    };
    assert_eq!(read("don't go"), [(hash_of("dont"), 0, 5), (hash_of("go"), 6, 8)]);
    assert_eq!(
        read("sha256sums go"),
        [(hash_of("sha999sums"), 0, 10), (hash_of("go"), 11, 13)]
    );
    assert_eq!(
        read("fianc\u{e9}es go"),
        [(hash_of("fianc\u{e9}es"), 0, 9), (hash_of("go"), 10, 12)]
    );
}

/// A sign and a space that are taken with the word before them say what they say by themselves.
#[test]
fn a_sign_after_a_word_says_the_same_however_the_word_is_read() {
    let after = |text: &str| {
        let last = words(text, &Lexicon::empty(), usize::MAX)
            .all
            .last()
            .copied()
            .unwrap();
        (
            last.gap,
            last.shape,
            text.len() - usize::try_from(last.start).unwrap(),
        )
    };
    for sign in (0..128_u8).map(char::from) {
        for end in ["so", " so", "  so", "\nso", "\"so", "#so"] {
            // A letter that is not of ASCII makes a word be read letter by letter.
            for number in ["", "7"] {
                let (plain, slow) = (
                    format!("ab{number}{sign} {end}"),
                    format!("a\u{e9}{number}{sign} {end}"),
                );
                assert_eq!(after(&plain), after(&slow), "{plain:?}");
            }
        }
    }
}
