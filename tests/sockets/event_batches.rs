//! Sockets that are closed while the loop handles one batch of events.
//!
//! Each task receives only its own bytes, although the kernel reuses descriptors at once.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use crate::util::sock::*;
use crate::util::*;
use sendloop::{Loop, LoopHandle, Socket, Task};

const MANY: usize = 40;

/// One connection. Its task receives bytes, checks that they are its own, and closes another
/// connection.
struct Connection {
    name: u32,
    task: Task<()>,
    socket: Rc<Socket<UnixStream>>,
    far: UnixStream,
}

/// All connections, and the random numbers that select which one to close.
struct Field {
    slots: RefCell<Vec<Option<Connection>>>,
    random: RefCell<Random>,
    names: Cell<u32>,
    received: Cell<u32>,
}

impl Field {
    fn connect(self: &Rc<Field>, event_loop: &LoopHandle) -> Connection {
        let name = self.names.get();
        self.names.set(name + 1);
        let (socket, far) = pair();
        let (field, handle, own) = (self.clone(), event_loop.clone(), socket.clone());
        let task = event_loop.create_task(async move {
            let got = handle.sock_recv(&own, 100).await.expect("received");
            assert_eq!(got, name.to_le_bytes(), "bytes of another connection");
            field.received.set(field.received.get() + 1);
            field.end_one(&handle, name);
        });
        Connection { name, task, socket, far }
    }

    /// Closes another connection, and puts a new one into its slot.
    fn end_one(self: &Rc<Field>, event_loop: &LoopHandle, caller: u32) {
        let victim = self.random.borrow_mut().below(MANY);
        let there = self.slots.borrow_mut()[victim].take();
        let Some(connection) = there.filter(|connection| connection.name != caller) else {
            return;
        };
        connection.task.cancel();
        let socket = Rc::try_unwrap(connection.socket);
        drop(socket.expect("the only owner"));
        drop(connection.far);
        let fresh = self.connect(event_loop);
        self.slots.borrow_mut()[victim] = Some(fresh);
    }

    fn send_to_all(&self) {
        for connection in self.slots.borrow_mut().iter_mut().flatten() {
            // This fails if the connection has already ended.
            let _ = connection.far.write_all(&connection.name.to_le_bytes());
        }
    }
}

/// Runs some rounds. In each, all connections get bytes at once.
fn play(event_loop: &Loop, seed: u64) -> Rc<Field> {
    let field = Rc::new(Field {
        slots: RefCell::default(),
        random: RefCell::new(Random(seed)),
        names: Cell::new(0),
        received: Cell::new(0),
    });
    for _ in 0..MANY {
        let connection = field.connect(event_loop);
        field.slots.borrow_mut().push(Some(connection));
    }
    run_iteration(event_loop);
    for _ in 0..10 {
        field.send_to_all();
        run_iteration(event_loop);
        run_iteration(event_loop);
        for slot in field.slots.borrow_mut().iter_mut() {
            let over = slot.take_if(|connection| connection.task.done());
            let fresh = over.map(|_| field.connect(event_loop));
            *slot = fresh.or_else(|| slot.take());
        }
        run_iteration(event_loop);
    }
    field
}

#[test]
fn tasks_that_close_each_others_sockets_receive_only_their_own_bytes() {
    let _test = test();
    for seed in 0..20 {
        let event_loop = strict_loop();
        let field = play(&event_loop, seed);
        assert!(field.received.get() > 10 * MANY as u32 / 4);
        for connection in field.slots.take().into_iter().flatten() {
            connection.task.cancel();
        }
        run_iteration(&event_loop);
        assert_eq!(event_loop.stats().tasks, 0);
        assert_eq!(event_loop.stats().registered, 0);
    }
}

#[test]
fn fd_callback_that_reuses_descriptors_calls_no_new_callback() {
    let _test = test();
    let event_loop = new_loop();
    let pairs: Vec<_> = (0..MANY).map(|_| UnixStream::pair().expect("a pair")).collect();
    let (near, far): (Vec<UnixStream>, Vec<UnixStream>) = pairs.into_iter().unzip();
    let all = Rc::new(RefCell::new(near));
    let (old, new) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let replace = {
        let (handle, all, old, new) = (event_loop.handle(), all.clone(), old.clone(), new.clone());
        Rc::new(move || {
            old.set(old.get() + 1);
            for gone in all.take() {
                assert!(handle.remove_reader(&gone));
            }
            for _ in 0..MANY {
                let (fresh, peer) = UnixStream::pair().expect("a pair");
                let new = new.clone();
                handle.add_reader(&fresh, move || new.set(new.get() + 1)).expect("watched");
                all.borrow_mut().extend([fresh, peer]);
            }
        })
    };
    for stream in &*all.borrow() {
        let replace = replace.clone();
        event_loop.add_reader(stream, move || replace()).expect("watched");
    }
    far.iter().for_each(|mut far| far.write_all(b"old").expect("room"));
    for _ in 0..5 {
        run_iteration(&event_loop);
    }
    assert_eq!((old.get(), new.get()), (1, 0));
    (&all.borrow()[1]).write_all(b"new").expect("room");
    run_iteration(&event_loop);
    run_iteration(&event_loop);
    assert!(new.get() >= 1);
    drop((event_loop, far));
    // The test breaks the reference cycle.
    all.take();
}

#[test]
fn timer_may_close_a_socket_with_a_pending_event() {
    let _test = test();
    let event_loop = new_loop();
    let sockets: Vec<_> = (0..MANY).map(|_| pair()).collect();
    let (near, mut far): (Vec<_>, Vec<UnixStream>) = sockets.into_iter().unzip();
    let tasks: Vec<_> = near.iter().map(|near| receiver(&event_loop, near, 10)).collect();
    let watched = near[0].get_ref().try_clone().expect("a dup");
    let calls = Rc::new(Cell::new(0));
    let counts = calls.clone();
    let count = move || counts.set(counts.get() + 1);
    event_loop.add_reader(&watched, count).expect("watched");
    for far in &mut far {
        far.write_all(b"late").expect("room");
    }
    let victims = Rc::new(RefCell::new(Some((tasks, near, watched))));
    let (hit, handle) = (victims.clone(), event_loop.handle());
    event_loop.call_soon(move || {
        let (tasks, near, watched) = hit.take().expect("there");
        assert!(handle.remove_reader(&watched));
        assert!(tasks.iter().all(Task::cancel));
        drop((near, watched));
    });
    let steps = event_loop.stats().task_steps;
    for _ in 0..3 {
        run_iteration(&event_loop);
    }
    assert_eq!((calls.get(), event_loop.stats().registered), (0, 0));
    // Tasks that this batch woke and then cancelled are not polled again.
    assert!(event_loop.stats().task_steps - steps <= MANY as u64);
    for mut far in far {
        let mut rest = Vec::new();
        // The peer closes with unread bytes: a reset.
        let _ = far.read_to_end(&mut rest);
        assert!(rest.is_empty());
    }
}
