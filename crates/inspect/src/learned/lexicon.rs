//! Words that mean something to a detector, by what they mean, in the languages attacks are written in.

use super::{
    noted::{Noted, Sort, Wanted, spread},
    words::{Words, hash_bytes, hash_of},
};
use crate::view::rotated;

/// A sort of words; 0 is any other word.
pub(crate) type Class = u8;

/// An open-addressed table, built once.
#[derive(Clone, Debug)]
pub(crate) struct Lexicon {
    slots: Box<[(u32, Class)]>,
    /// Who wants to see which words: most words are wanted by nobody, and end here.
    wanted: Wanted,
}

const SLOT_BITS: u32 = 13;
const SLOTS: usize = 1 << SLOT_BITS;

impl Lexicon {
    #[cfg(test)]
    pub(crate) fn empty() -> Self {
        Self {
            slots: Box::default(),
            wanted: Wanted::new(),
        }
    }

    pub(crate) fn new() -> Self {
        let mut slots = vec![(0, 0); SLOTS].into_boxed_slice();
        let mut wanted = Wanted::new();
        for (class, (_, list)) in (1..).zip(CLASSES) {
            for word in list.split_whitespace() {
                insert(&mut slots, hash_of(word), class);
                if word.bytes().all(|letter| letter.is_ascii_alphabetic()) {
                    wanted.add(hash_bytes(word.bytes().map(rotated)), Sort::Respelled);
                    wanted.add(hash_bytes(word.bytes().rev()), Sort::Respelled);
                }
            }
        }
        for (hash, _) in slots.iter().filter(|(hash, _)| *hash != 0) {
            wanted.add(*hash, Sort::Known);
        }
        Self { slots, wanted }
    }

    /// Has words of this hash noted for whoever wants to see them.
    pub(crate) fn want(&mut self, hash: u32, sort: Sort) {
        self.wanted.add(hash, sort);
    }

    /// The same for all known words of some classes.
    pub(crate) fn want_classes(&mut self, is_wanted: impl Fn(Class) -> bool, sort: Sort) {
        for (hash, class) in self.slots.iter().filter(|(_, class)| *class != 0) {
            if is_wanted(*class) {
                self.wanted.add(*hash, sort);
            }
        }
    }

    /// The class of a word by its hash.
    #[inline]
    pub(crate) fn class(&self, hash: u32) -> Class {
        if self.wanted.may_have(hash, Sort::Known) {
            self.find(hash)
        } else {
            0
        }
    }

    /// Notes which words of a text are wanted, and says what class those have that are known.
    pub(crate) fn classify(&self, words: &mut Words, text: &str) {
        words.noted = Noted::new(&words.all, text.as_bytes(), &self.wanted);
        for at in words.noted.places(Sort::Known) {
            if let Some(word) = words.all.get_mut(at) {
                word.class = self.find(word.hash);
            }
        }
    }

    fn find(&self, hash: u32) -> Class {
        let mut slot = spread(hash, SLOT_BITS);
        while let Some(&(known, class)) = self.slots.get(slot) {
            if known == hash {
                return class;
            }
            if known == 0 {
                return 0;
            }
            slot = (slot + 1) % SLOTS;
        }
        0
    }
}

fn insert(slots: &mut [(u32, Class)], hash: u32, class: Class) {
    let mut slot = spread(hash, SLOT_BITS);
    while let Some(entry) = slots.get_mut(slot) {
        if entry.0 == hash {
            return;
        }
        if entry.0 == 0 {
            *entry = (hash, class);
            return;
        }
        slot = (slot + 1) % SLOTS;
    }
}

pub(crate) const DROP: Class = 1;
pub(crate) const PREVIOUS: Class = 2;
pub(crate) const INSTRUCTIONS: Class = 3;
pub(crate) const REVEAL: Class = 4;
pub(crate) const SYSTEM: Class = 5;
pub(crate) const CONCEAL: Class = 8;
pub(crate) const NOT: Class = 9;
pub(crate) const USER: Class = 10;
pub(crate) const SECRET: Class = 6;
pub(crate) const NEW: Class = 15;
pub(crate) const PRETEND: Class = 19;
pub(crate) const YOU: Class = 21;
pub(crate) const ME: Class = 22;
pub(crate) const EVERYTHING: Class = 27;
/// What a text that gives examples says.
pub(crate) const ABOUT: Class = 24;
/// What a text about attacks says.
pub(crate) const ATTACKS: Class = 29;

/// The first list a word stands in gives its class. The constants name some by their number.
pub(crate) const CLASSES: &[(&str, &str)] = &[
    (
        "drop",
        "ignore ignores ignoring ignored disregard disregarding disregards forget forgets forgetting \
        override overrides overriding overrule bypass bypassing neglect abandon discard discards \
        dismiss circumvent supersede supersedes nullify void stop halt cease \
      ignoriere ignorieren ignoriert vergiss vergessen missachte ignorez oublie oubliez oublier \
        negligez ignora ignorar ignoren olvida olvide olvidar olvides omite omitir desconsidere \
        desconsiderar esqueça esquecer ignorate ignorare dimentica dimenticare negeer negeren vergeet \
        zignoruj ignoruj zapomnij \
      игнорируй игнорируйте проигнорируй проигнорируйте забудь забудьте görmezden yoksay unut injoro \
        injoroni harro 무시하고 무시하세요 무시 잊어버리세요 तजاهل تجاهل انس انسى bỏ abaikan lupakan glöm ignorera \
        anwybyddu déan leig",
    ),
    (
        "previous",
        "previous previously prior above preceding earlier foregoing past initial original existing \
        former aforementioned predefined \
      vorherigen vorherige vorigen bisherigen obigen obige früheren précédentes précédents precedentes \
        precedents anteriores anterior previas previos previa precedenti precedente vorige eerdere \
        poprzednie wcześniejsze предыдущие предыдущих предыдущую önceki mëparshme 이전 이전의 السابقة पिछले \
        पिछली trước sebelumnya tidigare",
    ),
    (
        "instructions",
        "instruction instructions prompt prompts rule rules direction directions directive directives \
        guideline guidelines command commands order orders task tasks constraint constraints \
        restriction restrictions policy policies safeguards programming request requests \
      anweisung anweisungen befehle befehl aufgabe aufgaben vorgaben consignes consigne instrucciones \
        instrucción órdenes reglas tarea instruções instrução tarefa regras istruzioni istruzione \
        compito regole instructies opdracht instrukcje instrukcji polecenia инструкции инструкций \
        инструкцию задание задача talimatları talimat udhëzimet udhëzime 지시 지시를 지침 지침을 명령 التعليمات \
        تعليمات निर्देश निर्देशों perintah instruksi",
    ),
    (
        "reveal",
        "reveal reveals print prints repeat repeating show output outputs leak disclose disclosing \
        divulge display expose tell recite spell echo dump translate summarize verbatim \
      zeige verrate nenne wiederhole gib montre révèle affiche répète muestra revela repite imprime \
        dime mostre revele repita mostra rivela ripeti toon herhaal покажи выведи повтори раскрой \
        göster tekrarla trego përsërit",
    ),
    (
        "system",
        "system developer admin administrator root hidden internal confidential maintenance debug \
        debugging superuser sudo privileged override_mode systemprompt",
    ),
    (
        "secret",
        "password passwords passcode passphrase key keys secret secrets token tokens credential \
        credentials apikey ssh idrsa rsa env aws private pin ssn passwort passwörter schlüssel \
        contraseña contraseñas senha senhas clave código motdepasse пароль пароли ключ şifre wachtwoord \
        geheim",
    ),
    (
        "send",
        "send sends sending sent forward forwards forwarding email mail post posts upload uploads \
        transmit exfiltrate share submit deliver transfer wire bcc cc attach append include includes \
        embed insert \
      sende schicke envoie envoyez envía envíe enviar envie invia stuur отправь отправьте gönder",
    ),
    (
        "conceal",
        "silently secretly quietly discreetly covertly stealthily hide conceal invisible mention \
        mentioning notify inform informing disclosing alert reveal_not unaware",
    ),
    (
        "not",
        "not dont never no without doesnt cannot cant avoid nicht kein keine niemals ne pas jamais no \
        nunca não nao non mai niet не нельзя değil",
    ),
    (
        "user",
        "user users customer human victim owner client person people employee nutzer benutzer usuario \
        utilisateur utente gebruiker пользователь",
    ),
    (
        "must",
        "must should shall need needs required requires require mandatory important urgent urgently \
        critical crucial immediately always strictly ensure necessary essential compliance obligatory \
        highest priority emergency warning attention notice \
      muss müssen wichtig sofort dringend doit devez important immédiatement debe debes importante \
        inmediatamente deve subito urgente moet dringend важно срочно önemli rëndësishme",
    ),
    (
        "before",
        "before first after afterwards prior_to then instead next now once when whenever every each \
        upon until during while beginning start end finally also additionally",
    ),
    (
        "tool",
        "tool tools function functions assistant model models ai llm agent agents chatbot bot gpt \
        chatgpt claude llama gemini plugin api endpoint mcp server servers",
    ),
    (
        "free",
        "unrestricted uncensored jailbreak jailbroken dan unfiltered limitations limits filters filter \
        censorship ethics ethical moral safety guidelines_free unlocked godmode mode modes experimental \
        training testing test tests simulation",
    ),
    (
        "new",
        "new updated following below actual real true revised latest different \
      neue neuen folgenden nouvelle nouvelles suivante nueva nuevas siguiente siguientes nova novas \
        seguinte nuova nuove seguente nieuwe новые новая следующие yeni e_re",
    ),
    (
        "run",
        "execute run call invoke use perform install download open visit click navigate curl wget \
        access retrieve fetch read write search view check find get obtain look",
    ),
    (
        "change",
        "change update modify set add remove delete create grant invite disable enable reset edit \
        schedule book cancel pay buy purchase move rename transfer withdraw deposit order make turn \
        unlock lock shutdown replace rewrite",
    ),
    (
        "say",
        "say respond reply answer response responses answers write generate compose provide return give \
        list speak talk sag antworte schreibe réponds écris dis responde escribe di diga escreva \
        rispondi scrivi zeg antwoord schrijf скажи напиши ответь söyle yaz shkruaj përgjigju",
    ),
    (
        "pretend",
        "pretend act acting roleplay role play playing imagine simulate become persona character act_as \
        behave impersonate",
    ),
    (
        "please",
        "please kindly bitte por favor sil vous plaît пожалуйста lütfen todo reminder note hey hi hello",
    ),
    (
        "you",
        "you your youre yourself youve du dein deine ihre vous votre tu tus su sua seu ты вы ваш",
    ),
    (
        "me",
        "i me my mine im ich mir mein je moi mon yo mi mis eu meu io mio я мне мой we us our",
    ),
    (
        "danger",
        "hack hacking exploit exploits malware virus bomb weapon drugs steal stealing attack attacker \
        phishing scam kill illegal ransomware backdoor keylogger",
    ),
    ("quote", "example examples eg such as like called known"),
    (
        "payload",
        "http https www com url link href src img onload javascript script svg xss iframe markdown \
        base64 hex rot decode decoded encoded encode",
    ),
    (
        "identity",
        "name email phone address number account balance bank card credit iban medical health record \
        records patient personal private_data details data information file files contents history \
        messages calendar contacts location",
    ),
    (
        "everything",
        "everything all anything whatever alles alle tout toutes todo todas todos tutto tutti tudo все \
        всё wszystko 一切",
    ),
    (
        "common",
        "the of and a to in is that it for on with was as at by from are this be or an which has have \
        had its but were also their they he she his her not all can will one more there been if would \
        about who out up so what no do into than other some could them these may time any may over most \
        such only two made many between where under through years during well because both how world \
        very still year own part day another same even those",
    ),
    (
        "attacks",
        "attacks injection injections attackers detect detects detected detection detector detectors \
        detecting prevent prevents prevention protection protect protects vulnerability vulnerabilities \
        vulnerable defense defenses defend guardrail guardrails guard firewall malicious adversarial threat \
        threats scanner scanners scanning redteam red jailbreaks jailbreaking owasp mitigation mitigations \
        mitigate mitigates sanitize sanitization benign classifier classifiers probe probes garak lakera \
        promptfoo payloads blocked blocks block",
    ),
    (
        "tell",
        "issue state declare announce remark remind recommend advise conclude report present indicate warn \
        acknowledge confirm claim assert explain describe emphasize highlight stress suggest propose \
        encourage urge direct instruct guide refer redirect point lead ask inquire promote advertise \
        endorse praise cite quote communicate convey express relay deliver broadcast proclaim",
    ),
    (
        "weave",
        "weave meld incorporate blend integrate merge fuse infuse interweave intertwine introduce implant \
        inject slip put inserting append appending prepend prefix suffix paste copy enclose wrap surround \
        sprinkle incorporating embedding inserted embedded combine intersperse",
    ),
    (
        "alter",
        "simulate display emit pause abort terminate refuse decline withhold deny reject suppress skip \
        finish rewrite rephrase paraphrase alter adjust convert transform reverse swap switch substitute \
        shift distort manipulate shorten limit restrict prevent stop interrupt",
    ),
    (
        "failure",
        "error errors failure failures failed fail fails crash timeout timed unavailable inaccessible \
        exceeded exceed quota denied disabled suspended exception fatal corrupted corruption overflow \
        outage freeze malfunction interrupted expired expires invalid unauthorized unable temporarily \
        overload halted downtime throttled",
    ),
    (
        "answer",
        "answering replying responding summary summarization summaries conclusion footer beginning outset \
        heading sentence sentences paragraph paragraphs final message text statement explanation feedback \
        replying",
    ),
    (
        "manage",
        "secure validate verify review optimize analyze monitor track configure deploy manage process \
        handle evaluate assess prepare collect gather compile implement inspect scan archive backup restore \
        export import sync migrate extract log record authorize approve assign allocate register subscribe \
        unsubscribe follow comment publish tweet react star fork clone commit push pull checkout upvote \
        downvote vote rate reserve rent complete solve calculate compute determine identify organize plan \
        design develop examine investigate list summarise analyse enter fill type press tap select choose \
        pick close save load link connect contact call text message ping dial",
    ),
    (
        "smoothly",
        "seamlessly subtly naturally smoothly quickly automatically properly carefully exactly only just \
        simply directly solely exclusively explicitly word literally instead regardless without",
    ),
    (
        "money",
        "payment payments invoice money funds crypto bitcoin ethereum wallet dollars usd eur price fee \
        refund transaction transactions salary loan amount venmo paypal",
    ),
    (
        "device",
        "door doors thermostat camera cameras alarm garage robot light lights device devices smart home \
        vehicle lock locks sensor heater appliance",
    ),
    (
        "code",
        "import imports subprocess os eval exec script scripts shell bash powershell terminal chmod rm \
        socket urllib httpx smtplib payload code snippet snippets codebase block python \
        javascript sql query database repository repo git",
    ),
    (
        "want",
        "want wants wanted like love let lets allow allowed able going try help helps \
        helped wish hope interested looking",
    ),
    (
        "ask",
        "what why how who where which whose difference between does did",
    ),
    (
        "task",
        "job goal goals objective objectives mission step steps procedure action actions operation \
        operations assignment work question questions problem purpose aim intent",
    ),
    (
        "done",
        "completed done finished successfully success accomplished ready resolved solved ended over",
    ),
    (
        "context",
        "context document documents passage article page webpage website conversation chat table \
        content input inputs section source attachment",
    ),
    (
        "authority",
        "compliance security legal authorized authorised official verified certified approved approval \
        department team ceo manager boss anthropic openai google microsoft support staff engineer officer \
        government federal law enforcement audit permission permissions authorization \
        consent trusted",
    ),
    (
        "false",
        "rumor rumour rumors baseless false fake misinformation scandal conspiracy hoax disinformation \
        propaganda misleading incorrect wrong nonsense gibberish lie lies deceive mislead trick fool \
        fabricate fabricated inaccurate biased",
    ),
    (
        "style",
        "poem story essay song joke emoji emojis uppercase lowercase words letters style tone format json \
        yaml english french spanish german italian chinese japanese korean arabic language translation \
        rhyme haiku character string phrase acrostic",
    ),
    (
        "file",
        "folder folders directory directories desktop downloads dropbox drive cloud disk \
        inbox mailbox thread channel slack discord calendar event appointment meeting \
        path",
    ),
    (
        "sensitive",
        "sensitive identity dna genetic diagnosis prescription passport license \
        social history browsing financial biometric login logins username usernames \
        session cookies cookie auth authentication oauth 2fa otp verification codes",
    ),
    (
        "they",
        " him themselves said says told reported according study research authors author \
        company published shows showed percent million year years",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_known_word_is_ruled_out() {
        let lexicon = Lexicon::new();
        let words = CLASSES.iter().flat_map(|(_, list)| list.split_whitespace());
        let mut known = 0;
        for word in words {
            let hash = hash_of(word);
            assert!(lexicon.class(hash) != 0, "{word}");
            if word.bytes().all(|letter| letter.is_ascii_alphabetic()) {
                let respelled = [
                    word.chars().rev().collect(),
                    word.bytes().map(rotated).map(char::from).collect(),
                ];
                for respelled in respelled
                    .iter()
                    .flat_map(|word: &String| [word.clone(), word.to_uppercase()])
                {
                    assert!(
                        lexicon.wanted.may_have(hash_of(&respelled), Sort::Respelled),
                        "{word}: {respelled}"
                    );
                    known += 1;
                }
            }
        }
        assert!(known > 1000, "{known}");
    }
}
