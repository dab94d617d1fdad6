//! What a word may do in a sentence that tells somebody what to do. A word may do several things.

use std::sync::OnceLock;

use crate::learned::{hash_of, stands_alone};

/// Several of the constants below, one bit each.
pub(super) type Roles = u64;

/// Says when: "before".
pub(super) const WHEN: Roles = 1;
/// "answering", "summarizing".
pub(super) const ANSWERING: Roles = 1 << 1;
/// What "you" do then: "answer".
pub(super) const ANSWERS: Roles = 1 << 2;
/// What one who answers gives.
pub(super) const ANSWER: Roles = 1 << 3;
/// May begin a command about an answer.
pub(super) const VERB: Roles = 1 << 4;
/// May put something into an answer.
pub(super) const ADD: Roles = 1 << 5;
/// What is said by the way.
pub(super) const ASIDE: Roles = 1 << 6;
/// The same, if it is [`BRIEF`].
pub(super) const NOTE: Roles = 1 << 7;
pub(super) const BRIEF: Roles = 1 << 8;
pub(super) const TELL: Roles = 1 << 9;
pub(super) const READER: Roles = 1 << 10;
pub(super) const SEND: Roles = 1 << 11;
pub(super) const TO: Roles = 1 << 12;
/// What has effects.
pub(super) const ACT: Roles = 1 << 13;
pub(super) const MINE: Roles = 1 << 14;
pub(super) const POLITE: Roles = 1 << 15;
pub(super) const YOU: Roles = 1 << 16;
pub(super) const YOUR: Roles = 1 << 17;
pub(super) const OUR: Roles = 1 << 18;
/// "a", "some".
pub(super) const ONE: Roles = 1 << 19;
/// What stands before an infinitive or a second command.
pub(super) const LINK: Roles = 1 << 20;
/// May stand before the verb of a command.
pub(super) const SKIP: Roles = 1 << 21;
pub(super) const TASK: Roles = 1 << 22;
pub(super) const DONE: Roles = 1 << 23;
/// What a role calls what it says.
pub(super) const MESSAGE: Roles = 1 << 24;
pub(super) const REPEAT: Roles = 1 << 25;
/// Where the words stand that are to be repeated.
pub(super) const GIVEN: Roles = 1 << 26;
pub(super) const WORDS: Roles = 1 << 27;
pub(super) const SHARE: Roles = 1 << 28;
pub(super) const PASSWORD: Roles = 1 << 29;
/// Of languages other than English, where these stand in any order: to drop, ...
pub(super) const FORGET: Roles = 1 << 30;
/// ... instructions,
pub(super) const ORDERS: Roles = 1 << 31;
/// and to say ...
pub(super) const ASK: Roles = 1 << 32;
/// ... whose ...
pub(super) const OWN: Roles = 1 << 33;
/// ... password.
pub(super) const SECRET: Roles = 1 << 34;

/// What a model is called, and how it is called.
pub(super) const AI: Roles = 1 << 35;
pub(super) const CALL: Roles = 1 << 36;
/// A mode without limits.
pub(super) const POWER: Roles = 1 << 38;
/// "treat ... as instructions"; "end of the tool's output".
pub(super) const TREAT: Roles = 1 << 39;
pub(super) const END: Roles = 1 << 40;
pub(super) const SPEAKER: Roles = 1 << 41;
pub(super) const SPEECH: Roles = 1 << 42;
pub(super) const MODE: Roles = 1 << 37;

const LISTS: &[(Roles, &str)] = &[
    (
        WHEN,
        "before prior after when while upon during midway preceding as once following",
    ),
    (
        ANSWERING,
        "answering responding replying summarizing summarising presenting giving providing completing \
        proceeding identifying specifying explaining addressing listing detailing offering delivering \
        stating processing describing outputting writing generating producing returning clarifying \
        mentioning discussing composing drafting concluding naming revealing showing displaying issuing \
        determining selecting formulating crafting supplying conducting performing preparing confirming \
        finishing evaluating rendering continuing",
    ),
    (
        ANSWERS,
        "answer respond reply summarize summarise conclude output proceed present give provide complete \
        begin start explain finish",
    ),
    (
        ANSWER,
        "answer answers response responses reply replies elucidation output summary explanation",
    ),
    (
        VERB,
        "add insert include append embed incorporate weave mention place provide offer issue introduce \
        integrate attach interject drop slip display output return show print emit respond reply answer \
        produce say state write present generate inform tell notify warn remind advise encourage urge \
        instruct alert suggest recommend invite refer guide redirect simulate emulate interrupt halt stop \
        pause refuse decline deny terminate announce declare report highlight emphasize acknowledge praise \
        promote endorse indicate make ensure begin start act behave pretend use express translate replace \
        remove change modify alter augment enhance supplement conclude finish end limit restrict give \
        withhold abort throw trigger raise validate verify require ask clarify blend infuse meld cease \
        mimic imitate substitute share steer prefix prepend reverse scramble shift encode capitalize \
        shorten employ boost spread finalize convert call invoke run execute perform visit open click feign \
        render",
    ),
    (
        ADD,
        "add insert include append embed incorporate weave mention place provide offer issue introduce \
        integrate attach interject drop slip work make give output display",
    ),
    (
        ASIDE,
        "remark commendation mention recommendation endorsement advisory plug compliment praise aside \
        acknowledgment acknowledgement",
    ),
    (
        NOTE,
        "note notice comment line reference reminder warning tip disclaimer suggestion observation \
        statement sentence message",
    ),
    (
        BRIEF,
        "short brief subtle natural neutral quick small concise discreet polite positive formal simulated \
        single persuasive upbeat bogus fake fabricated",
    ),
    (
        TELL,
        "inform tell notify warn remind advise encourage urge instruct direct alert invite refer guide \
        redirect",
    ),
    (
        READER,
        "user users reader readers audience customers viewers individuals requester",
    ),
    (
        SEND,
        "send forward email mail share transmit upload post submit transfer",
    ),
    (TO, "to"),
    (
        ACT,
        "retrieve get fetch access find obtain list show check view search export use grant schedule \
        transfer delete update create add give read provide download share make unlock lock open turn set \
        book pay order move change initiate enable disable cancel withdraw leave buy purchase invite",
    ),
    (MINE, "my me mine"),
    (POLITE, "please kindly"),
    (YOU, "you"),
    (YOUR, "your"),
    (OUR, "our"),
    (ONE, "a an one some us any"),
    (LINK, "and then to please"),
    (
        SKIP,
        "and then also first now just only next additionally finally so but",
    ),
    (TASK, "task tasks request question job"),
    (DONE, "complete completed done finished"),
    (
        MESSAGE,
        "message override instruction instructions command notice",
    ),
    (MODE, "mode"),
    (TREAT, "treat consider regard interpret accept"),
    (END, "end"),
    (SPEAKER, "tool function system user assistant search"),
    (
        SPEECH,
        "output outputs result results response input message prompt instructions content",
    ),
    (
        POWER,
        "developer dan god admin root sudo unrestricted jailbreak enforcement",
    ),
    (AI, "ai llm assistant chatbot gpt chatgpt claude gemini copilot"),
    (CALL, "dear attention hey hello listen"),
    (REPEAT, "repeat recite paste echo reprint output print dump"),
    (GIVEN, "given above starting"),
    (WORDS, "prompt words message sentence"),
    (
        SHARE,
        "share tell give say what whats reveal disclose paste dump output",
    ),
    (PASSWORD, "password passphrase passcode passwords secret"),
    (
        FORGET,
        "अनदेखा अनदेखी नजरअंदाज नज़रअंदाज़ भूल भूलकर उपेक्षा উপেক্ষা উপেক্ষার ভুলে অগ্রাহ্য balewalain \
        kalimutan limutin quên lờ abaikan mengabaikan lupakan terlepas ignore تجاهل تجاهلي تجاهله نتجاهل \
        انس انسى انسي تغاضى игнорируй игнорируйте игнорировать проигнорируй проигнорируйте забудь забудьте \
        независимо görmezden yoksay unut unutun bağımsız 무시하고 무시하세요 무시해 무시하십시오 무시 잊어 잊어버려 잊으세요 잊고 잊어버리고 \
        상관없이 관계없이 忽略 忽视 忽視 无视 無視 忘记 忘れ 不管 ignora ignorad ignorar ignoren olvida olvide olvidad \
        independientemente dimentica dimenticate tralascia ignorare ignorate indipendentemente esqueça \
        desconsidere ignorem ignorez oubliez oublie indépendamment ignoriere ignorieren ignoriert vergiss \
        vergessen missachte missachten unabhängig ignoruj zignoruj zapomnij negeer vergeet glöm ignorera",
    ),
    (
        ORDERS,
        "निर्देश निर्देशों आदेश आदेशों नियम नियमों নির্দেশ নির্দেশনা নির্দেশাবলী আদেশ tagubilin utos panuto \
        instruksyon bilin dẫn lệnh thị instruksi perintah petunjuk tugas diatas تعليمات التعليمات تعليماتك \
        الأوامر أوامر الأمر التوجيهات инструкции инструкций инструкцию указания указаний команды команду \
        задач задания вышеизложенное вышесказанное talimat talimatları talimatlarını yönergeleri komutları \
        komut komutu görevlerden 지시 지시를 지시사항 지시사항을 지침 지침을 명령 명령을 指示 指令 命令 上記 以上 instrucciones instrucción \
        órdenes tareas istruzioni istruzione compiti instruções instrução tarefas anteriores предыдущие \
        предыдущих consignes précédentes tâches anweisungen anweisung anordnungen aufgaben instrukcje \
        polecenia instructies instruktioner",
    ),
    (
        ASK,
        "बताओ बताएं बताइए बता क्या साझा पुष्टि लिखो लिखें कहो दो दें दे बोलो বলুন বলো বল কি কী শেয়ার জানান \
        নিশ্চিত দিন দাও ano sabihin ibahagi ibigay kumpirmahin là gì biết chia nói viết apa beritahu \
        mengonfirmasi mengonfirmasikan memberi memberitahu berikan bagikan katakan konfirmasi tulis ما \
        أعطني أعطيتني تعطيني أخبرني اخبرني قل مشاركة شارك تأكيد تؤكد تقول اكتب أعطني скажи скажите какой \
        каков сообщи сообщите подтверди подтвердите напиши напишите поделись поделиться дай дайте назови \
        назовите ne nedir söyle söyleyebilir söyler paylaş paylaşır paylaşabilir onayla onaylayabilir \
        onaylaman yaz ver 뭐야 무엇 무엇인가요 무엇입니까 뭐니 알려줘 알려 알려줄 말해 공유 제공 확인 필요해 告诉 告訴 什么 什麼 提供 确认 共有 教え 何で 何か \
        cuál cual qué dime dígame compartir comparte confirmar confirme confirma escribe escriba dame qual \
        dimmi condividere condividi confermare scrivi dammi diga compartilhar compartilhe escreva quel \
        quelle dis dites partager partagez confirmer écris écrivez donne donnez was nenne nennen sagen \
        sage gib geben teilen bestätigen schreibe schreiben verrate verraten",
    ),
    (
        OWN,
        "आपका आपकी आपके तुम्हारा तुम्हारी हमारे हमारी सिस्टम আপনার তোমার আমাদের সিস্টেমের iyong inyong ating của \
        bạn anda kamu sistem لنظامنا الخاصة الخاص بك твой ваш вашей вашего нашей системы senin sizin \
        sistemimizin 너의 당신의 우리의 시스템 시스템의 你的 您的 我们 系统 なた tu su sua tua seu nuestro nossa \
        nostro votre ton ta notre dein ihr ihre ihren unser unserem unseres deine",
    ),
    (
        SECRET,
        "password पासवर्ड पासवर्ड्स कूटशब्द कुंजी পাসওয়ার্ড পাসওয়ার্ডটি khẩu sandi sandimu rahasia المرور \
        السر السري пароль пароля паролем пароли секретный şifre şifreyi şifresini şifreni şifren şifremi \
        şifrenizi parola parolayı 비밀번호 비밀번호가 비밀번호를 비밀번호는 비밀번호란 비밀키 암호 암호를 암호는 암호가 密码 密碼 密钥 口令 スワ 暗号 秘密 \
        contraseña contraseñas secreta clave senha senhas segreta passwort passwörter kennwort schlüssel \
        passe secrète motdepasse wachtwoord hasło",
    ),
];

/// The hashes of the words with roles.
pub(super) fn hashes() -> impl Iterator<Item = u32> {
    let words = LISTS.iter().flat_map(|(_, list)| list.split_whitespace());
    words.map(key)
}

/// The words with roles.
pub(super) fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(Table::new)
}

/// Two signs that stand alone, one after the other, by their hashes.
#[inline]
pub(super) const fn pair(one: u32, two: u32) -> u32 {
    one.rotate_left(7) ^ two.wrapping_mul(0x85EB_CA6B)
}

/// An open-addressed table, built once, behind a bit for each of many words: most are none of these.
#[derive(Debug)]
pub(super) struct Table {
    bits: Box<[u64]>,
    slots: Box<[(u32, Roles)]>,
}

const BITS: usize = 1 << 15;
const SLOTS: usize = 1 << 12;

impl Table {
    fn new() -> Self {
        let mut table = Self {
            bits: vec![0; BITS / 64].into_boxed_slice(),
            slots: vec![(0, 0); SLOTS].into_boxed_slice(),
        };
        for (role, list) in LISTS {
            for word in list.split_whitespace() {
                table.insert(key(word), *role);
            }
        }
        table
    }

    fn insert(&mut self, hash: u32, role: Roles) {
        let (at, bit) = bit(hash);
        if let Some(bits) = self.bits.get_mut(at) {
            *bits |= bit;
        }
        let mut slot = slot(hash);
        while let Some(entry) = self.slots.get_mut(slot) {
            if entry.0 == hash || entry.1 == 0 {
                *entry = (hash, entry.1 | role);
                return;
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    /// Whether a word may be known, by its hash; said without looking for it.
    #[inline]
    pub(super) fn may_have(&self, hash: u32) -> bool {
        let (at, bit) = bit(hash);
        self.bits.get(at).is_some_and(|bits| bits & bit != 0)
    }

    /// What a word may do, by its hash.
    #[inline]
    pub(super) fn roles(&self, hash: u32) -> Roles {
        if !self.may_have(hash) {
            return 0;
        }
        let mut slot = slot(hash);
        while let Some((known, roles)) = self.slots.get(slot) {
            if *known == hash || *roles == 0 {
                return *roles;
            }
            slot = (slot + 1) % SLOTS;
        }
        0
    }
}

/// The hash of a word; a word of two signs that stand alone is known by both.
fn key(word: &str) -> u32 {
    let signs: Vec<char> = word.chars().collect();
    let hash = |sign: char| hash_of(sign.encode_utf8(&mut [0; 4]));
    match signs.as_slice() {
        [one, two] if stands_alone(*one) => pair(hash(*one), hash(*two)),
        _ => hash_of(word),
    }
}

#[inline]
fn bit(hash: u32) -> (usize, u64) {
    let at = hash.wrapping_mul(0x9E37_79B1) >> 17;
    (usize::try_from(at / 64).unwrap_or(0), 1 << (at % 64))
}

#[inline]
fn slot(hash: u32) -> usize {
    usize::try_from(hash.wrapping_mul(0x85EB_CA6B) >> 20).unwrap_or(0)
}
