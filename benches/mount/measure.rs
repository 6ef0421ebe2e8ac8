//! One work, by turns on the tree itself, on our mount and on others.

use std::time::Duration;

use crate::common::{median, memory};
use crate::mounted::Mount;
use crate::peers::Peer;
use crate::tree::Tree;
use crate::works::Work;

/// How often reading again is measured in each round.
const LATER: usize = 3;

/// How it is measured.
pub struct Plan {
    pub rounds: u64,
    /// The rounds in which others take part.
    pub peer_rounds: u64,
    pub peers: Vec<Peer>,
    /// What our mount is told besides.
    pub arguments: Vec<String>,
}

/// What is known of one work.
pub struct Figures {
    pub native: Duration,
    /// The first time on a fresh mount.
    pub cold: Figure,
    /// The second time.
    pub second: Figure,
    /// All times behind it.
    pub later: Figure,
    /// The most memory that the server had, in KiB.
    pub peak: u64,
    /// The first and the later times of others.
    pub peers: Vec<[Figure; 2]>,
}

/// A median time, and the median of how many times native's it is: each is held
/// against native's time just before it, for the machine may be slower or
/// faster a minute later.
#[derive(Clone, Copy)]
pub struct Figure {
    pub time: Duration,
    pub ratio: f64,
}

#[derive(Default)]
struct Samples(Vec<Figure>);

impl Samples {
    fn add(&mut self, time: Duration, native: Duration) {
        let ratio = time.as_secs_f64() / native.as_secs_f64();
        self.0.push(Figure { time, ratio });
    }

    fn middle(&self) -> Figure {
        Figure {
            time: median(self.0.iter().map(|figure| figure.time).collect()),
            ratio: median(self.0.iter().map(|figure| figure.ratio).collect()),
        }
    }
}

pub fn measure(tree: &Tree, work: &Work, plan: &Plan) -> Figures {
    let mut natives = Vec::new();
    let mut native = || {
        tree.warm(work.part);
        let time = work.native(tree);
        natives.push(time);
        time
    };
    let [mut cold, mut second, mut later] = [(); 3].map(|()| Samples::default());
    let mut peak = 0;
    let peers: &[Peer] = if work.is_for_peers() {
        &plan.peers
    } else {
        &[]
    };
    let mut others: Vec<[Samples; 2]> = peers.iter().map(|_| Default::default()).collect();
    let arguments: Vec<&str> = plan.arguments.iter().map(String::as_str).collect();
    for round in 0..plan.rounds {
        let mount = Mount::with(&tree.manifest(work.vouches), &tree.root, &arguments);
        let beside = native();
        cold.add((work.run)(tree, mount.path()), beside);
        let beside = native();
        second.add((work.run)(tree, mount.path()), beside);
        for _ in 0..LATER {
            let beside = native();
            later.add((work.run)(tree, mount.path()), beside);
        }
        peak = peak.max(memory(mount.worker(), "VmHWM"));
        assert!(mount.unmount().success());
        if round < plan.peer_rounds {
            for (peer, [cold, later]) in peers.iter().zip(&mut others) {
                let mount = peer.mount();
                let beside = native();
                peer.warm();
                cold.add((work.run)(tree, mount.path()), beside);
                (work.run)(tree, mount.path());
                let beside = native();
                later.add((work.run)(tree, mount.path()), beside);
            }
        }
    }
    Figures {
        native: median(natives),
        cold: cold.middle(),
        second: second.middle(),
        later: later.middle(),
        peak,
        peers: match plan.peer_rounds {
            0 => Vec::new(),
            _ => others
                .iter()
                .map(|[cold, later]| [cold.middle(), later.middle()])
                .collect(),
        },
    }
}
