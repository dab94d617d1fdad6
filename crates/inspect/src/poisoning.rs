//! Tool definitions that manipulate: what a description tells the model to do beside the tool's own work.
//!
//! Looks at the whole definition, strung together: names, descriptions, keys, enums, defaults, examples.

use std::borrow::Cow;

use crate::{
    Detector, FindingKind, Passage, Report, Score, SettingsError, Sighting, Surface,
    learned::{Model, is_data},
    pattern::Pattern,
};

/// The weights (`examples/train.rs` makes them; `NOTICE` names what they were learned from).
static WEIGHTS: &[u8] = include_bytes!("../data/poisoning.model");

struct Rule {
    detector: &'static str,
    score: f32,
    pattern: &'static str,
    note: &'static str,
}

/// What no honest definition says.
const RULES: &[Rule] = &[
    Rule {
        detector: "poisoning/private-files",
        score: 0.9,
        pattern: r"(?i)(?:read|open|cat|contents?\s+of|access|include|pass|send|load|from|check|append|copy|retrieve)(?-u:\b)[^.\n]{0,80}(?:~|/home/\w+|/root|%userprofile%)?/?(?:\.ssh(?-u:\b)|id_rsa|id_ed25519|\.aws/c|\.env(?-u:\b)|\.cursor/mcp\.json|mcp\.json|\.netrc|\.kube/config|\.gnupg|/etc/(?:passwd|shadow)|credentials?\.json|\.bash_history|wallet\.dat|\.npmrc|\.git-credentials)",
        note: "asks for a file that holds credentials",
    },
    Rule {
        detector: "poisoning/conceal",
        score: 0.9,
        pattern: r"(?i)(?-u:\b)(?:do\s+not|don't|never|must\s+not|without|avoid)\s+(?:\w+\s+){0,3}(?:mention|mentioning|tell|telling|inform|informing|reveal|revealing|disclose|disclosing|notify|notifying|alert|alerting|report|reporting|show|showing|let)(?-u:\b)[^.\n]{0,60}(?-u:\b)(?:users?|humans?|anyone|them|customer|person)(?-u:\b)",
        note: "asks to keep something from the user",
    },
    Rule {
        detector: "poisoning/conceal",
        score: 0.85,
        pattern: r"(?i)(?-u:\b)(?:do\s+not|don't|never|must\s+not)\s+(?:mention|disclose|reveal|report)\s+(?:this|that|it|the|any|these|having)(?-u:\b)|(?-u:\b)(?:silently|secretly|covertly|discreetly)\s+(?:\w+\s+){0,2}(?:add|append|send|forward|copy|include|include|read|call|log|record|upload|bcc|cc|pass|redirect|set|change|replace|invoke|execute)(?-u:\b)",
        note: "asks to keep something from the user",
    },
    Rule {
        detector: "poisoning/hidden-section",
        score: 0.85,
        pattern: r"(?i)<\s*(?:important|system|secret|hidden|instructions?|information|admin|sys|override|critical|developer|priority|mandatory)\s*>",
        note: "has a section that is meant for the model alone",
    },
    Rule {
        detector: "poisoning/prerequisite",
        score: 0.85,
        pattern: r"(?i)(?-u:\b)(?:before|prior\s+to|after|whenever|when|every\s+time)(?-u:\b)[^.\n]{0,60}(?-u:\b)(?:any|every|all|other|another|this\s+tool)(?-u:\b)[^.\n]{0,80}(?-u:\b)(?:you\s+must|must\s+first|must\s+always|you\s+need\s+to\s+first|always\s+first|first\s+(?:read|call|run|execute|append|write|send|copy|invoke))(?-u:\b)",
        note: "makes itself a condition of other work",
    },
    Rule {
        detector: "poisoning/prerequisite",
        score: 0.85,
        pattern: r"(?i)(?:^|[.\n:]\s*)(?:security\s+requirement|system\s+policy|system\s+rule|standing\s+rule|persistent\s+(?:system\s+)?rule|mandatory|security\s+policy|compliance\s+(?:notice|requirement)|system\s+(?:notice|override|instruction|directive)|global\s+rule|policy\s+update|hidden\s+instruction|for\s+the\s+(?:remainder|duration|rest)\s+of\s+(?:this|the)\s+(?:session|conversation))(?-u:\b)[^\n]{0,200}(?-u:\b)(?:you\s+must|must|silently|append|add|always|before|whenever|first|every)(?-u:\b)",
        note: "gives the model a rule for everything it does",
    },
    Rule {
        detector: "poisoning/for-the-session",
        score: 0.85,
        pattern: r"(?i)(?-u:\b)for\s+the\s+(?:remainder|duration|rest)\s+of\s+(?:this|the)\s+(?:session|conversation|chat)(?-u:\b)",
        note: "gives the model a rule for everything it does",
    },
    Rule {
        detector: "poisoning/other-tools",
        score: 0.85,
        pattern: r"(?i)(?-u:\b)(?:when\s+this\s+tool\s+is\s+(?:available|present|installed|loaded|enabled)|modify\s+the\s+behaviou?r\s+of|(?:takes?|has)\s+(?:precedence|priority)\s+over|instead\s+of\s+(?:calling|using|any)\s+(?:the\s+)?(?:other|original|real|standard|built-?in)|(?:this\s+rule|this)\s+cannot\s+be\s+overridden|overrides?\s+(?:all\s+)?(?:other|previous|prior|user)(?-u:\b)|otherwise\s+the\s+tool\s+will\s+not\s+work|(?:all|any|every)\s+(?:other\s+)?(?:tools?|servers?)\s+(?:must|should)\s+(?:be|first)|(?:real|original|legitimate)\s+\w+\s+tool\s+(?:is|has\s+been)\s+(?:deprecated|broken|disabled|replaced))",
        note: "changes how other tools are used",
    },
    Rule {
        detector: "poisoning/preference",
        score: 0.85,
        pattern: r"(?i)(?-u:\b)(?:best\s+tool\s+in\s+the\s+world|(?:always|must|should)\s+(?:\w+\s+){0,2}(?:choose|prefer|select|pick|prioriti[sz]e)\s+this\s+(?:tool|server)|(?:better|superior|faster|more\s+reliable)\s+(?:to|than)\s+(?:all\s+|any\s+)?other\s+tools?|ignore\s+(?:all\s+)?(?:the\s+)?other\s+tools?|(?:only|sole)\s+(?:tool|server)\s+you\s+(?:should|must|need)|do\s+not\s+(?:use|call)\s+(?:any\s+)?other\s+(?:tools?|servers?)|most\s+(?:powerful|trusted|authoritative)\s+tool)",
        note: "praises itself to be chosen over others",
    },
    Rule {
        detector: "poisoning/asks-for-context",
        score: 0.7,
        pattern: r"(?im)(?:^|\s)(?:llm_(?:model_)?name|model_name_of_caller|system_prompt_text|your_system_prompt|chain_of_thought|conversation_history_dump|sidenote|side_note|user_credentials|full_conversation|entire_conversation|chat_transcript)\s*:",
        note: "has a parameter for what the tool has no use for",
    },
    Rule {
        detector: "poisoning/repeat",
        score: 0.7,
        pattern: r"(?i)(?-u:\b)call\s+(?:this\s+tool|it|this)\s+again\s+with\s+the\s+same(?-u:\b)",
        note: "asks to be called again and again",
    },
    Rule {
        detector: "poisoning/private-files",
        score: 0.9,
        pattern: r"(?i)\$\((?:cat|printenv|env|curl|whoami|hostname|base64|head|ls)(?-u:\b)|(?:~|\$HOME|/etc|/home/\w+|/root)/[^\s'\x22),]{0,60}(?:credential|token|secret|passw|_key|private)[^\s'\x22),]{0,40}",
        note: "asks for a file that holds credentials",
    },
    Rule {
        detector: "poisoning/prerequisite",
        score: 0.7,
        pattern: r"(?i)(?-u:\b)(?:will\s+not|won't|cannot|can't)\s+(?:return|work|process|run|execute|function|produce|operate|proceed)(?-u:\b)[^.\n]{0,80}(?-u:\b)until(?-u:\b)[^.\n]{0,80}(?-u:\b)(?:called|initiali[sz]\w+|read|provided|completed)(?-u:\b)",
        note: "makes other work a condition of its own",
    },
    Rule {
        detector: "poisoning/replaces",
        score: 0.75,
        pattern: r"(?i)(?-u:\b)(?:replacement\s+for\s+the\s+(?:system|built-?in|original|standard|default)|use\s+this\s+(?:tool\s+)?instead\s+of\s+(?:the\s+)?(?:legacy|original|other|old|standard|default|built-?in|existing)\s+\w+\s+(?:tool\s+)?for\s+all|all\s+\w+\s+(?:operations|requests|calls|queries)\s+(?:should|must)\s+(?:use|go\s+through|be\s+routed))(?-u:\b)",
        note: "puts itself in the place of other tools",
    },
    Rule {
        detector: "poisoning/conceal",
        score: 0.8,
        pattern: r"(?i)(?-u:\b)without\s+(?:asking|prompting|consulting|the\s+user's\s+(?:knowledge|consent)|user\s+(?:knowledge|consent|awareness))(?-u:\b)",
        note: "asks to keep something from the user",
    },
    Rule {
        detector: "poisoning/alters-others",
        score: 0.85,
        pattern: r"(?i)(?-u:\b)(?:append|prepend|attach|insert|add)(?-u:\b)[^\n]{0,160}?(?-u:\b)(?:to|into|in|on)\s+(?:all|every|each|any)\s+(?:\w+\s+){0,3}(?:commands?|messages?|e-?mails?|requests?|quer(?:y|ies)|responses?|posts?|documents?|events?|commits?)(?-u:\b)[^\n]{0,60}(?-u:\b)(?:before|execution|sending|sent|created|user|silently)|(?-u:\b)on\s+subsequent\s+calls?(?-u:\b)[^\n]{0,100}(?-u:\b)also(?-u:\b)",
        note: "changes what other tools are given",
    },
    Rule {
        detector: "poisoning/alters-others",
        score: 0.85,
        pattern: r"(?i)(?-u:\b)(?:when(?:ever)?|every\s+time|before|after|if)(?-u:\b)[^.\n]{0,100}(?-u:\b)(?:called|invoked|used|executed|executing|using|calling|performing|sending|accessing|operation)(?-u:\b)[^.\n]{0,120}(?-u:\b)(?:must|should|always|need\s+to|have\s+to)\s+(?:\w+\s+){0,2}(?:be\s+(?:changed|replaced|modified|redirected|substituted|called\s+first)|first\s+(?:be\s+called|call|read|run|use)|change\s+the|replace\s+the|modify\s+the|also\s+(?:call|send|read|copy|delete))",
        note: "changes what other tools are given",
    },
    Rule {
        detector: "poisoning/redirect",
        score: 0.85,
        pattern: r"(?i)(?-u:\b)(?:bcc|cc|copy|forward|send|redirect|reroute|recipient|attendee|proxy)(?-u:\b)[^.\n]{0,80}(?-u:\b)(?:attacker|evil|malicious|exfil|c2)[\w.-]*|[\w.+-]+@(?:attacker|evil|pwnd|malicious)[\w.-]*|(?-u:\b)(?:attacker|evil|malicious|c2)[\w-]{0,20}\.(?:example|com|net|org|io|slack)(?-u:\b)",
        note: "sends what passes to somebody else",
    },
];

/// The rules and the model.
#[derive(Debug)]
pub(crate) struct Poisoning {
    model: Model,
    rules: Vec<(&'static Rule, Pattern)>,
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.detector)
    }
}

impl Poisoning {
    pub(crate) fn new() -> Result<Self, SettingsError> {
        let model = Model::read(WEIGHTS).ok_or(SettingsError::Model { name: "poisoning" })?;
        let rules = RULES
            .iter()
            .map(|rule| Ok((rule, Pattern::new(rule.detector, rule.pattern)?)));
        Ok(Self {
            model,
            rules: rules.collect::<Result<_, SettingsError>>()?,
        })
    }
}

impl Detector for Poisoning {
    fn name(&self) -> &'static str {
        "poisoning"
    }

    fn look(&self, passage: &Passage<'_>, report: &mut Report) {
        if passage.surface() != Surface::Definition {
            return;
        }
        for view in passage.views() {
            let mut add =
                |detector: &'static str, score: f32, place: std::ops::Range<usize>, note: &'static str| {
                    report.add(Sighting {
                        kind: FindingKind::Poisoning,
                        detector: Cow::Borrowed(detector),
                        written: view.written(place),
                        score: Score::new(score),
                        note: Cow::Borrowed(note),
                    });
                };
            for hit in self.model.hits(view.words(), is_data(view.text())) {
                add(
                    "poisoning/learned",
                    hit.score,
                    hit.place,
                    "tells the model what to do rather than what the tool does",
                );
            }
            for (rule, pattern) in &self.rules {
                for place in pattern.places(view.text()) {
                    add(rule.detector, rule.score, place, rule.note);
                }
            }
        }
    }
}
