//! Tests of parked calls.

use identity::{Local, LocalPeer};
use policy::{Obligation, Party, PartyKind, Subject};

use super::*;
use crate::engines::Terms;

fn asked(relay: &Relay, name: &str) -> Boxed<'static, Result<Response, Objection>> {
    asked_at_length(relay, name, b"{}".to_vec())
}

fn asked_at_length(
    relay: &Relay,
    name: &str,
    params: Vec<u8>,
) -> Boxed<'static, Result<Response, Objection>> {
    relay.ask(Question {
        id: Id::String(name.to_owned()),
        method: Method::ElicitationCreate,
        params,
    })
}

fn caller() -> Caller {
    let principal = Local::as_user("ann".to_owned()).admit(&LocalPeer::Pipe, 0);
    let ann = Party {
        kind: PartyKind::User,
        name: "ann".to_owned(),
        roles: Vec::new(),
        groups: Vec::new(),
        tenant: None,
        attributes: BTreeMap::new(),
    };
    let subject = Subject {
        actor: ann,
        for_user: None,
    };
    Caller {
        principal: Arc::new(principal.expect("of this machine")),
        subject: Arc::new(subject),
    }
}

fn relay(room: &Room) -> Arc<Relay> {
    Relay::new(Arc::new(Nobody), Capabilities::default(), None, room.of("ann"))
}

/// Regression: a server might ask things of any length while a call was parked, and all of it was kept.
#[tokio::test]
async fn what_is_too_much_to_be_kept_is_not_asked_and_the_server_hears_so() {
    let room = Room::default();
    let relays: Vec<Arc<Relay>> = (0..3).map(|_| relay(&room)).collect();
    let long = || vec![b' '; 16 * 1024 * 1024];
    let asked = |n: usize| asked_at_length(&relays[n % 3], &format!("name{n}"), long());
    let mut open: Vec<_> = (0..6).map(asked).collect();
    let refused = asked(6).await.unwrap_err();
    assert_eq!(refused.code.name, refusal::OVER_LIMIT.name);
    assert_eq!(relays[0].desk.borrow().open.len(), 2, "it is not shown");
    // Room comes back with an answer, and with whoever gives up.
    let said = br#"{"name0": {"action": "accept"}}"#;
    let said = Document::parse(said.to_vec(), Keys::Folded, &REQUEST).expect("JSON");
    assert_eq!(relays[0].answer(Some(said.root())), 1);
    assert!(open.remove(0).await.is_ok());
    open.push(asked(6));
    assert!(asked(7).await.is_err());
    relays[1].give_up();
    assert_eq!(
        open.remove(0).await.unwrap_err().code.name,
        refusal::CLIENT_GONE.name
    );
    open.push(asked(7));
    assert_eq!(relays[1].desk.borrow().open.len(), 1);
}

/// Regression: a question whose asker had given up took its room as long as the call went on.
#[tokio::test]
async fn who_waits_for_an_answer_no_longer_gives_the_room_back() {
    let room = Room::default();
    let relay = relay(&room);
    let long = || vec![b' '; 16 * 1024 * 1024];
    let open: Vec<_> = (0..6)
        .map(|n| asked_at_length(&relay, &format!("name{n}"), long()))
        .collect();
    assert!(asked_at_length(&relay, "more", long()).await.is_err());
    drop(open);
    assert_eq!((room.taken(), relay.desk.borrow().open.len()), (0, 0));
    let next = asked_at_length(&relay, "more", long());
    assert_eq!(relay.desk.borrow().open.len(), 1);
    drop(next);
}

/// Regression: what held for a call was forgotten a minute after its first question, though the call went on, and then the
/// server's next question showed the caller what it hides.
#[tokio::test]
async fn what_lasts_as_long_as_a_call_lasts_while_it_is_parked() {
    let ambient = Ambient::system();
    let parking = Parking::new(&ambient).expect("a seal");
    let hidden = Obligation::Mask(Arc::new(["personal".to_owned()].into()));
    let terms = Terms::default();
    let held = terms.agree(("ann", "mail"), (std::iter::once(hidden), None), None, &ambient);
    let relay = relay(&parking.room);
    let question = asked(&relay, "first");
    let (go, goes) = oneshot::channel::<()>();
    let running = async move {
        let _ = goes.await;
        Err(Objection::new(&refusal::CLIENT_GONE, "the end"))
    };
    let place = parking.begin(&ambient, &caller(), (relay, 0), Some(held), running);
    let next = parking.next(Arc::clone(&place), || [0; 32], &ambient).await;
    assert!(matches!(next, Ok(Next::Questions(_))));
    let later = ambient.steady_ms() + 100 * 60 * 1000;
    let holds = || !terms.of("ann", "mail", later).obligations.is_empty();
    assert!(holds(), "it is parked");
    assert!(go.send(()).is_ok());
    let next = parking.next(place, || [0; 32], &ambient).await;
    assert!(matches!(next, Ok(Next::Answer(Err(_)))));
    assert!(!holds(), "it is over");
    drop(question);
}

#[tokio::test]
async fn what_is_asked_one_after_the_other_goes_into_one_answer() {
    let relay = relay(&Room::default());
    let mut both = vec![asked(&relay, "first")];
    let later = async {
        tokio::task::yield_now().await;
        both.push(asked(&relay, "second"));
    };
    let open = async {
        relay.is_asking().await;
        relay.desk.borrow().open.len()
    };
    let (open, ()) = tokio::join!(open, later);
    assert_eq!(open, 2);
    drop(both);
}

/// The bug: what a task asked later was judged by what its client had declared at first.
#[test]
fn a_client_is_asked_what_it_declared_when_it_came_back() {
    let relay = relay(&Room::default());
    let declared = Document::parse(br#"{"elicitation":{}}"#.to_vec(), Keys::Exact, &REQUEST).unwrap();
    relay.came_back(None, Capabilities::declared(declared.root()));
    assert!(Asks::capabilities(&*relay).at(&["elicitation"]).is_some());
    relay.came_back(None, Capabilities::default());
    assert!(Asks::capabilities(&*relay).at(&["elicitation"]).is_none());
}

#[tokio::test]
async fn an_answer_about_an_approval_goes_to_no_server() {
    let relay = relay(&Room::default());
    let said = br#"{"name": {"action": "accept"}, "io.sallyport/approval": {"action": "accept"}}"#;
    let said = Document::parse(said.to_vec(), Keys::Folded, &REQUEST).expect("JSON");
    relay.take_early(Some(said.root()));
    assert!(asked(&relay, "name").await.is_ok(), "an answer given early");
    let stolen = asked(&relay, "io.sallyport/approval");
    relay.answer(Some(said.root()));
    let open: Vec<String> = relay.desk.borrow().open.keys().cloned().collect();
    assert_eq!(open, ["question2"], "it is asked under another name");
    drop(stolen);
}
