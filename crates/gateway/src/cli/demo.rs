//! `sallyport demo`: the main job on real input, with nothing configured.
//!
//! A hospital is put behind a real gateway: this very program as `serve`, with a data directory of its own,
//! and the servers and agents of `examples/hospital`. Each call is printed with what the gateway made of it,
//! as the ledger has it. This file knows the order; it takes no decision of the gateway's.

mod evidence;
mod house;
mod program;
mod scene;
mod show;

use std::time::Duration;

use clap::Args;

use self::{
    house::House,
    scene::{Played, SCENES},
    show::Show,
};
use super::{Common, serve::asked_to_stop};
use crate::failure::Failure;

/// How long one scene may take.
const SCENE_WAIT: Duration = Duration::from_secs(30);

/// See the gateway at work: a hospital, its agents, and some who are up to no good.
#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// Leave the hospital running at the end, to try things out.
    #[arg(long)]
    keep: bool,
}

impl Demo {
    /// Plays all scenes. Whatever happens, nothing is left behind.
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        if common.config.is_some() {
            return Err(Failure::configuration(
                "the demo brings its own configuration; leave --config out",
            ));
        }
        let hospital = program::hospital()?;
        let show = Show::new(common.json);
        super::block_on(async {
            let mut house = House::build(&hospital)?;
            let ended = tokio::select! {
                ended = self.play(&mut house, &show) => ended,
                () = asked_to_stop() => Err(Failure::other("stopped before the end; nothing is left behind")),
            };
            if self.keep && ended.is_ok() {
                asked_to_stop().await;
            }
            house.close().await;
            match ended?.as_slice() {
                [] => Ok(()),
                names => Err(Failure::does_not_hold(format!(
                    "not as described: {}",
                    names.join(", ")
                ))),
            }
        })
    }

    /// Plays all scenes; gives the names of those that did not end as described.
    async fn play(&self, house: &mut House, show: &Show) -> Result<Vec<&'static str>, Failure> {
        show.opening();
        house.open().await?;
        let mut differing = Vec::new();
        let mut theft = None;
        for scene in SCENES {
            show.scene(scene);
            let playing = scene::play(scene, house, show);
            let played = tokio::time::timeout(SCENE_WAIT, playing)
                .await
                .unwrap_or_else(|_| {
                    Err(Failure::unreachable(format!(
                        "the scene `{}` does not end",
                        scene.name
                    )))
                })?;
            theft = theft.or_else(|| played.theft());
            conclude(show, &played, &mut differing);
        }
        // As an auditor does it: the gateway has nothing to say in it any more.
        house.stop().await;
        conclude(show, &evidence::verified(house, show)?, &mut differing);
        conclude(show, &evidence::tampered(house, theft, show)?, &mut differing);
        show.closing(&differing);
        if self.keep {
            house.open().await?;
            show.kept(house, &house.token("600").await?);
        }
        Ok(differing)
    }
}

fn conclude(show: &Show, played: &Played, differing: &mut Vec<&'static str>) {
    show.played(played);
    if played.differs.is_some() {
        differing.push(played.name);
    }
}
