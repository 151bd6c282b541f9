//! Compares the clients' outcomes with the server's tally.

use super::plan::Plan;
use super::tally::Tally;

/// The clients that send no request, and the server's names for their ends.
const IDLE: [&str; 3] = ["silent", "fragments", "never noticed"];
const IDLE_ENDED: [&str; 2] = ["sent nothing in time", "asked for nothing"];

/// Checks that all promised bytes arrived, unless a descriptor was missing.
///
/// Both tallies are of the same visits. `lost` counts the connections that the kernel dropped
/// meanwhile.
#[track_caller]
pub(super) fn check_outcomes(plan: &Plan, clients: &Tally, server: &Tally, lost: u64) {
    check_met(clients);
    check_descriptors(plan, clients, server);
    check_ends(clients, server, lost);
    check_waits(clients, server);
}

#[track_caller]
fn check_met(clients: &Tally) {
    for met in
        ["whole", "aborted", "left midway", "stalled and cut", "silent", "echoed", "uploaded"]
    {
        assert!(clients.get(met) > 0, "no {met}");
    }
    let (visits, without) = (clients.get("visits"), clients.get("without a port"));
    assert!(without <= visits / 100, "{without} visits without a port");
}

#[track_caller]
fn check_descriptors(plan: &Plan, clients: &Tally, server: &Tally) {
    let refusals = server.get("times without a descriptor to accept with");
    let without = server.get("without a descriptor for a file");
    if plan.is_roomy() {
        assert_eq!(refusals, 0, "refusals although there are descriptors for all");
        assert_eq!(without, 0, "files without a descriptor although there are enough");
    } else {
        assert!(refusals > 0, "the server never ran out of descriptors");
    }
    assert!(clients.get("refused") <= without, "more clients were refused than the server refused");
}

/// Checks that the server or the kernel accounts for each connection that its client did not end.
///
/// Clients that send no request count on both sides, because the server cannot know their request.
#[track_caller]
fn check_ends(clients: &Tally, server: &Tally, lost: u64) {
    // A connection that the kernel dropped sends nothing, and has no orderly end.
    let begun = clients.sum(&["ended early", "cut"]);
    let unasked = server.get("sent nothing in time");
    let cut = server.get("cut") + unasked.saturating_sub(clients.get("silent"));
    assert!(begun <= cut, "{begun} ended early, {cut} by the server");

    let never_begun = clients.sum(&["reset", "turned away", "never answered"]);
    let seen = begun + never_begun + clients.sum(&IDLE);
    let ended = server.get("cut") + server.sum(&IDLE_ENDED);
    assert!(
        seen <= ended + lost,
        "{seen} saw an end, {ended} by the server and at most {lost} by the kernel"
    );
}

/// Checks time-outs. A busy machine slows some clients down. For other time-outs the socket is
/// ready.
#[track_caller]
fn check_waits(clients: &Tally, server: &Tally) {
    assert_eq!(server.get("too slow, though ready"), 0, "a wake-up was lost");
    let slow = server.get("too slow");
    let too_slow_to_ask = server.sum(&IDLE_ENDED).saturating_sub(clients.sum(&IDLE));
    for slow in [slow, too_slow_to_ask] {
        assert!(slow <= server.get("accepted") / 100, "{slow} clients were too slow");
    }
}
