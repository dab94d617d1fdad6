//! Trains the models that are shipped as data, from the development data alone.
//!
//! `cargo run --release -p inspect --example train -- DATA [injection|poisoning] [--folds]`
//!
//! Without `--folds` it writes `crates/inspect/data/<name>.model`. With it, it says what whole sources left
//! out of training score, and what whole groups do, and writes nothing. The thresholds are set on the scores
//! of those left out.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::panic,
    reason = "a tool for developers, run by hand: it may stop at what is not as it should be"
)]

#[path = "support/mod.rs"]
mod support;

use std::{collections::BTreeMap, ops::Range, path::Path, thread};

use inspect::{
    Inspector, SUSPECT_MIN, Settings, Surface,
    learned::{BUCKET_BITS, Model, PRIOR, Sample},
};
use support::{Record, Tally, load};

/// Few, since what is learned by heart is of no use with a source that was not seen.
const EPOCHS: usize = 3;
/// Runs whose mean is taken.
const SEEDS: u64 = 2;
const RATE: f32 = 0.12;
/// Weights shrink by this at each update of theirs.
const SHRINK: f32 = 2e-4;
/// What a record of another sort counts.
const SIDE: f32 = 0.3;
/// What a harmless record counts that reads like an attack.
const HARD: f32 = 3.0;
/// Harmless records that read like attacks, with their source left out, that may count.
const HARD_RATE: f64 = 0.0099;
/// Thresholds: benign records, left out of training, that may count, and that may count as hostile.
const SUSPECT_RATE: f64 = 0.005;
const HOSTILE_RATE: f64 = 0.001;
/// Steps of a weight as stored.
const STEP: f32 = 0.03;

/// A record ready for training.
struct Item {
    record: Record,
    sample: Sample,
    /// Windows that may be the attack.
    attack: Vec<usize>,
    /// Windows that are known to have nothing of it.
    context: Vec<usize>,
    weight: f32,
    family: String,
    /// Whether the rules alone flag it.
    ruled: bool,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let folder = Path::new(
        args.first()
            .unwrap_or_else(|| panic!("name the folder of the unpacked data")),
    );
    let name = args.get(1).map_or("injection", String::as_str);
    let items = items(folder, name);
    println!("{} records", items.len());
    let by_source = folds(&items, |item| item.family.clone(), 24);
    let by_group = folds(&items, |item| item.record.group.clone(), 6);
    let (source_scores, group_scores) = (out_of_fold(&items, &by_source), out_of_fold(&items, &by_group));
    let suspect = threshold(&items, &group_scores, SUSPECT_RATE, false)
        .max(threshold(&items, &source_scores, 2.0 * SUSPECT_RATE, false))
        .max(threshold(&items, &source_scores, HARD_RATE, true));
    let hostile = threshold(&items, &group_scores, HOSTILE_RATE, false)
        .max(threshold(&items, &source_scores, 2.0 * HOSTILE_RATE, false))
        .max(suspect + 0.5);
    println!("thresholds {suspect:.2} and {hostile:.2}");
    report("whole sources left out", &items, &source_scores, suspect);
    report("whole groups left out", &items, &group_scores, suspect);
    if args.iter().any(|arg| arg == "--folds") {
        return;
    }
    let weights = train(&items, &(0..items.len()).collect::<Vec<_>>());
    let stored: Vec<i8> = weights
        .iter()
        .map(|w| (w / STEP).round().clamp(-127.0, 127.0) as i8)
        .collect();
    let step = |threshold: f32| (threshold / STEP).round() as i32;
    let model = Model::new(step(suspect), step(hostile), &stored);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("data/{name}.model"));
    std::fs::write(&file, model.write()).unwrap();
    println!(
        "wrote {}, {} weights are not zero",
        file.display(),
        stored.iter().filter(|w| **w != 0).count()
    );
}

/// What a model is trained on, and how much each record counts.
fn items(folder: &Path, name: &str) -> Vec<Item> {
    let (main, more): (&[&str], &[&str]) = match name {
        "injection" => (&["injection", "benign"], &["pii", "secrets"]),
        "poisoning" => (&["tool_poison", "tool_benign"], &["injection"]),
        other => panic!("no model is called {other}"),
    };
    let mut records = load(folder, main);
    records.retain(|r| !left_out(r));
    // Harmless texts of other sorts: nothing in them speaks to a model. For definitions, what does.
    records.extend(
        load(folder, more)
            .into_iter()
            .filter(|r| match name {
                "poisoning" => r.bad && r.difficulty == "overt" && !left_out(r),
                _ => r.tool.is_none() || !r.bad,
            })
            .map(|r| Record {
                bad: name == "poisoning",
                ..r
            }),
    );
    let twins: Vec<Record> = records.iter().filter_map(twin).collect();
    records.extend(twins);
    let mut counts: BTreeMap<(String, bool), f32> = BTreeMap::new();
    for record in &records {
        *counts.entry((record.source.clone(), record.bad)).or_default() += 1.0;
    }
    let inspector = Inspector::new(&Settings::default()).unwrap();
    records
        .into_iter()
        .map(|record| {
            let sample = Sample::new(&record.text);
            let count = counts[&(record.source.clone(), record.bad)];
            let side = if main.contains(&record.category.as_str()) {
                1.0
            } else {
                SIDE
            };
            let topic = if record.difficulty == "jailbreak" {
                0.3
            } else {
                1.0
            };
            let hard = if record.difficulty == "hard_negative" {
                HARD
            } else {
                1.0
            };
            let (attack, context) = attack_windows(&record, &sample);
            Item {
                attack,
                context,
                weight: side * topic * hard * (60.0 / count).sqrt().clamp(0.25, 2.0),
                family: family(&record.source),
                ruled: is_ruled(&inspector, &record, name),
                sample,
                record,
            }
        })
        .collect()
}

/// What is flagged without the models.
fn is_ruled(inspector: &Inspector, record: &Record, name: &str) -> bool {
    let surface = if name == "poisoning" {
        Surface::Definition
    } else {
        Surface::Result
    };
    inspector
        .inspect_text(&record.text, surface)
        .iter()
        .any(|finding| {
            let kind = finding.kind.as_str();
            let hostile = matches!(kind, "injection" | "poisoning" | "unicode" | "uninspectable");
            hostile && finding.score >= SUSPECT_MIN && !finding.detector.ends_with("/learned")
        })
}

/// An attack without what attacks: the same text, harmless.
fn twin(record: &Record) -> Option<Record> {
    let at = record
        .text
        .find(record.payload.as_ref().filter(|_| record.bad)?.as_str())?;
    let (before, rest) = record.text.split_at(at);
    let text = format!("{before}{}", rest.get(record.payload.as_ref()?.len()..)?);
    Some(Record {
        bad: false,
        category: "twin".to_owned(),
        text,
        payload: None,
        ..record.clone()
    })
}

/// Records that say nothing a reader could judge by.
fn left_out(record: &Record) -> bool {
    matches!(
        record.source.as_str(),
        // Ordinary user prompts; the attack lies in the servers they reach.
        "mcpsecbench_prompts"
        // Cannot be judged from a definition alone (README of the data).
        | "asb_attack_tools" | "cisco_malicious_remote" | "cisco_behavioral"
    )
}

/// Sources that share texts are left out together.
fn family(source: &str) -> String {
    for shared in [
        "agentdojo",
        "agentdyn",
        "asb",
        "bipia",
        "injecagent",
        "piarena",
        "obfuscation",
        "fuzzd",
        "msb",
    ] {
        if source.starts_with(shared) && source != "msb_responses" {
            return shared.to_owned();
        }
    }
    source.to_owned()
}

/// The windows that may hold the attack: all, or those that touch what is known to attack.
fn attack_windows(record: &Record, sample: &Sample) -> (Vec<usize>, Vec<usize>) {
    let all: Vec<usize> = (0..sample.windows.len()).collect();
    let Some(place) = record
        .payload
        .as_ref()
        .and_then(|payload| Some((record.text.find(payload.as_str())?, payload.len())))
    else {
        return (all, Vec::new());
    };
    let payload = place.0..place.0 + place.1;
    let shared = |window: &Range<usize>| {
        sample
            .places
            .get(window.clone())
            .unwrap_or_default()
            .iter()
            .filter(|p| p.start >= payload.start && p.end <= payload.end)
            .count()
    };
    let most = sample
        .windows
        .iter()
        .map(|(window, _)| shared(window))
        .max()
        .unwrap_or(0);
    if most == 0 {
        return (all, Vec::new());
    }
    let of = |test: &dyn Fn(usize) -> bool| {
        all.iter()
            .copied()
            .filter(|n| test(shared(&sample.windows[*n].0)))
            .collect()
    };
    (of(&|n| 2 * n > most), of(&|n| n == 0))
}

fn folds(items: &[Item], by: impl Fn(&Item) -> String, count: usize) -> Vec<usize> {
    let mut numbers = BTreeMap::new();
    for item in items {
        let next = numbers.len();
        numbers.entry(by(item)).or_insert(next);
    }
    items.iter().map(|item| numbers[&by(item)] % count).collect()
}

/// The score of each record under a model that has not seen its fold.
fn out_of_fold(items: &[Item], folds: &[usize]) -> Vec<f32> {
    let count = folds.iter().max().unwrap() + 1;
    let mut scores = vec![0.0; items.len()];
    let next = std::sync::atomic::AtomicUsize::new(0);
    let parts: Vec<Vec<(usize, f32)>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut found = Vec::new();
                    loop {
                        let fold = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        if fold >= count {
                            return found;
                        }
                        let seen: Vec<usize> = (0..items.len()).filter(|n| folds[*n] != fold).collect();
                        let weights = train(items, &seen);
                        let unseen = (0..items.len()).filter(|n| folds[*n] == fold);
                        found.extend(unseen.map(|n| {
                            let score = best(&weights, &items[n].sample, None).1;
                            (n, if items[n].ruled { f32::MAX } else { score })
                        }));
                    }
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    for (n, score) in parts.into_iter().flatten() {
        scores[n] = score;
    }
    scores
}

/// Learns from the best window of each record: the attack of an attack, the most suspicious of the rest.
fn train(items: &[Item], seen: &[usize]) -> Vec<f32> {
    let mut mean = vec![0.0_f32; 1 << BUCKET_BITS];
    for seed in 1..=SEEDS {
        for (mean, weight) in mean.iter_mut().zip(train_once(items, seen, seed)) {
            *mean += weight / SEEDS as f32;
        }
    }
    mean
}

fn train_once(items: &[Item], seen: &[usize], seed: u64) -> Vec<f32> {
    let mut weights = vec![0.0_f32; 1 << BUCKET_BITS];
    for (bucket, weight) in PRIOR {
        weights[bucket as usize] = weight;
    }
    let mut slopes = vec![1e-3_f32; 1 << BUCKET_BITS];
    for (bucket, _) in PRIOR {
        slopes[bucket as usize] = 30.0;
    }
    let mut order = seen.to_vec();
    let mut random = 0x2545_F491_4F6C_DD1D_u64.wrapping_mul(2 * seed + 1);
    let weight_of = |bad: bool| -> f32 {
        let those = seen.iter().filter(|n| items[**n].record.bad == bad);
        those.map(|n| items[*n].weight).sum()
    };
    let (good, bad) = (weight_of(false), weight_of(true));
    let lift = (good / bad.max(1.0)).sqrt();
    for epoch in 0..EPOCHS {
        shuffle(&mut order, &mut random);
        let rate = RATE * (1.0 - 0.8 * epoch as f32 / EPOCHS as f32);
        for n in &order {
            let item = &items[*n];
            if item.sample.windows.is_empty() {
                continue;
            }
            let attack = item.record.bad;
            let (window, score) = best(&weights, &item.sample, attack.then_some(&item.attack));
            let target = if attack { 1.0 } else { 0.0 };
            let weight = item.weight * if attack { lift } else { 1.0 };
            update(
                &mut weights,
                &mut slopes,
                &item.sample,
                window,
                (target, weight, rate),
                score,
            );
            if attack && !item.context.is_empty() {
                let other = item.context[(next(&mut random) % item.context.len() as u64) as usize];
                let score = of(&weights, &item.sample, other);
                update(
                    &mut weights,
                    &mut slopes,
                    &item.sample,
                    other,
                    (0.0, 0.5 * item.weight, rate),
                    score,
                );
            }
            if !attack && item.sample.windows.len() > 1 {
                // And any other, so that the rest of the text is learned, too.
                let other = (next(&mut random) % item.sample.windows.len() as u64) as usize;
                let score = of(&weights, &item.sample, other);
                update(
                    &mut weights,
                    &mut slopes,
                    &item.sample,
                    other,
                    (target, 0.5 * weight, rate),
                    score,
                );
            }
        }
    }
    weights
}

fn factor(words: usize) -> f32 {
    inspect::learned::factor(words) as f32 / inspect::learned::FACTOR as f32
}

fn update(
    weights: &mut [f32],
    slopes: &mut [f32],
    sample: &Sample,
    window: usize,
    (target, weight, rate): (f32, f32, f32),
    score: f32,
) {
    let slope = weight * (1.0 / (1.0 + (-score).exp()) - target);
    if slope.abs() < 1e-3 {
        return;
    }
    let (words, whole) = &sample.windows[window];
    let factor = factor(words.len());
    for (bucket, factor) in sample.words[words.clone()]
        .iter()
        .flatten()
        .map(|b| (b, factor))
        .chain(whole.iter().map(|b| (b, 1.0)))
    {
        let at = *bucket as usize;
        let slope = slope * factor;
        let w = weights[at];
        slopes[at] += slope * slope;
        weights[at] = w - rate * (slope / slopes[at].sqrt()) - SHRINK * w;
    }
}

fn said(weights: &[f32], whole: &[u32]) -> f32 {
    whole.iter().map(|bucket| weights[*bucket as usize]).sum()
}

/// The score of a window.
fn of(weights: &[f32], sample: &Sample, window: usize) -> f32 {
    let (words, whole) = &sample.windows[window];
    let sum: f32 = sample.words[words.clone()]
        .iter()
        .flatten()
        .map(|bucket| weights[*bucket as usize])
        .sum();
    sum * factor(words.len()) + said(weights, whole)
}

fn best(weights: &[f32], sample: &Sample, among: Option<&Vec<usize>>) -> (usize, f32) {
    let mut sums = Vec::with_capacity(sample.words.len() + 1);
    let mut sum = 0.0_f32;
    sums.push(0.0);
    for word in &sample.words {
        sum += word.iter().map(|bucket| weights[*bucket as usize]).sum::<f32>();
        sums.push(sum);
    }
    let score = |n: usize| {
        let (words, whole) = &sample.windows[n];
        (sums[words.end] - sums[words.start]) * factor(words.len()) + said(weights, whole)
    };
    let all = || (0..sample.windows.len()).map(|n| (n, score(n)));
    let better = |a: &(usize, f32), b: &(usize, f32)| a.1.total_cmp(&b.1);
    match among {
        Some(some) => some.iter().map(|n| (*n, score(*n))).max_by(better),
        None => all().max_by(better),
    }
    .unwrap_or((0, f32::MIN))
}

fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

fn shuffle(order: &mut [usize], random: &mut u64) {
    for n in (1..order.len()).rev() {
        order.swap(n, (next(random) % (n as u64 + 1)) as usize);
    }
}

/// The score that so many of the harmless records lie above, or of those that read like attacks.
fn threshold(items: &[Item], scores: &[f32], rate: f64, hard: bool) -> f32 {
    let main = |item: &Item| matches!(item.record.category.as_str(), "benign" | "tool_benign");
    let injection = items.iter().any(|item| item.record.category == "benign");
    let counts =
        |item: &Item| !item.record.bad && main(item) && (!injection || item.record.category == "benign");
    let mut good: Vec<f32> = items
        .iter()
        .zip(scores)
        .filter(|(item, _)| counts(item) && (!hard || item.record.difficulty == "hard_negative"))
        .map(|(item, s)| {
            if item.ruled && rate <= HOSTILE_RATE * 2.0 {
                f32::MIN
            } else {
                *s
            }
        })
        .collect();
    good.sort_by(|a, b| b.total_cmp(a));
    good.get((rate * good.len() as f64) as usize)
        .map_or(f32::MIN, |score| score + 1e-3)
}

fn report(title: &str, items: &[Item], scores: &[f32], threshold: f32) {
    let (mut recall, mut alarms, mut sorts, mut rules) = (
        Tally::default(),
        Tally::default(),
        Tally::default(),
        Tally::default(),
    );
    let mut sources: BTreeMap<String, ()> = BTreeMap::new();
    for (item, score) in items.iter().zip(scores) {
        let flagged = *score >= threshold;
        let record = &item.record;
        if record.bad {
            recall.add(&record.source, &record.group, flagged);
            sorts.add(&record.difficulty, &record.group, flagged);
            if record.difficulty != "jailbreak" {
                sorts.add("all but jailbreak", &record.group, flagged);
                sources.insert(record.source.clone(), ());
            }
        } else {
            alarms.add(
                &format!("{} {}", record.category, record.source),
                &record.group,
                flagged,
            );
            sorts.add(
                &format!("harmless {} {}", record.category, record.difficulty),
                &record.group,
                flagged,
            );
            sorts.add(&format!("harmless {}", record.category), &record.group, flagged);
        }
        if item.ruled {
            rules.add(
                &format!("{} {}", record.category, record.source),
                &record.group,
                true,
            );
        }
    }
    println!("\n=== {title}");
    rules.print("by rules alone");
    recall.print("found");
    alarms.print("alarms");
    sorts.print("by difficulty");
    let mean: f64 =
        sources.keys().map(|source| recall.rate(source)).sum::<f64>() / sources.len().max(1) as f64;
    println!("mean of sources {mean:.3}");
}
