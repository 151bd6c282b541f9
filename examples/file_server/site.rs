//! What the connections of one loop share.

use std::rc::Rc;
use std::sync::Arc;

use sendloop::LoopHandle;

use crate::access_log::Log;
use crate::clients::Clients;
use crate::options::Patience;
use crate::root::Root;

pub(crate) struct Site {
    pub(crate) event_loop: LoopHandle,
    pub(crate) root: Arc<Root>,
    pub(crate) patience: Patience,
    pub(crate) clients: Rc<Clients>,
    pub(crate) log: Option<Rc<Log>>,
}
