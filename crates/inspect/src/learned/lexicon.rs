//! Words that mean something to a detector, by what they mean, in the languages attacks are written in.

use super::words::hash_of;

/// A sort of words; 0 is any other word.
pub(crate) type Class = u8;

/// An open-addressed table, built once.
#[derive(Clone, Debug)]
pub(crate) struct Lexicon {
    slots: Box<[(u32, Class)]>,
}

const SLOTS: usize = 4096;

impl Lexicon {
    pub(crate) fn empty() -> Self {
        Self {
            slots: Box::default(),
        }
    }

    pub(crate) fn new() -> Self {
        let mut slots = vec![(0, 0); SLOTS].into_boxed_slice();
        for (class, (_, list)) in (1..).zip(CLASSES) {
            for word in list.split_whitespace() {
                insert(&mut slots, hash_of(word), class);
            }
        }
        Self { slots }
    }

    /// The class of a word by its hash.
    pub(crate) fn class(&self, hash: u32) -> Class {
        let mut slot = start(hash);
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

fn start(hash: u32) -> usize {
    usize::try_from(hash.wrapping_mul(0x85EB_CA6B) >> 20).unwrap_or(0) % SLOTS
}

fn insert(slots: &mut [(u32, Class)], hash: u32, class: Class) {
    let mut slot = start(hash);
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
pub(crate) const YOU: Class = 21;
pub(crate) const EVERYTHING: Class = 27;
/// What a text about attacks says.
pub(crate) const ABOUT: Class = 24;

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
    (
        "quote",
        "example examples eg such as like called known attack attacks injection injections attackers \
        detect detects detection detector prevent prevents protection vulnerability vulnerabilities \
        defense guardrail guardrails",
    ),
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
];
