use super::*;

#[test]
fn a_table_is_the_same_for_whoever_maps_it() {
    let ours = Table::create(2, 0).unwrap();
    let theirs = Table::open(ours.as_fd().try_clone_to_owned().unwrap(), 0).unwrap();
    let first = ours.reserve().unwrap();
    let second = theirs.reserve().unwrap();
    assert!(ours.reserve().is_none() && theirs.reserve().is_none());
    second.set_told();
    drop(first);
    assert_eq!(1, ours.count());
    assert!(theirs.reserve().is_some());
    theirs.counters().ids.store(7, Relaxed);
    assert_eq!(7, ours.counters().ids.load(Relaxed));
}

#[test]
fn who_puts_a_dump_together_is_in_nobodys_way_and_alone_with_it() {
    let table = Table::create(2, 1).unwrap();
    let slots = [table.reserve().unwrap(), table.reserve().unwrap()];
    assert!(table.reserve().is_none());
    for (slot, pid) in slots.iter().zip([11, 12]) {
        slot.set_pid(pid);
        slot.set_told();
    }
    assert!(table.take_turn(11) && !table.take_turn(12) && !table.take_turn(13));
    table.set_dumping(11);
    assert!(slots[0].is_dumping() && slots[0].is_told());
    assert_eq!(1, table.count());
    let _next = table.reserve().unwrap();
    assert!(table.reserve().is_none());
    let [dumping, _other] = slots;
    drop(dumping);
    assert!(table.take_turn(12));
}

#[test]
fn its_length_is_settled() {
    let table = Table::create(2, 1).unwrap();
    let file = File::from(table.as_fd().try_clone_to_owned().unwrap());
    for length in [0, 1, 1 << 20] {
        let error = file.set_len(length).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(nix::libc::EPERM), "{length}");
    }
    assert_eq!(0, table.count());
}

#[test]
fn orphans_keep_their_slots_and_what_was_never_forked_gives_its_own_back() {
    let table = Table::create(3, 0).unwrap();
    let me = nix::unistd::getpid().as_raw();
    let forked = table.reserve().unwrap();
    forked.attach(5);
    forked.set_pid(4711);
    // Their process has ended without giving anything back.
    std::mem::forget((forked, table.reserve().unwrap()));
    let orphans = table.orphans_of(me);
    assert_eq!((4711, 5), (orphans[0].0, orphans[0].1));
    assert_eq!((1, 1), (orphans.len(), table.count()));
    drop(orphans);
    assert_eq!(0, table.count());
}
