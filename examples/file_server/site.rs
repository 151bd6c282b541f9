//! The state that the connections of one loop share.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use sendloop::LoopHandle;

use crate::access_log::Log;
use crate::cache::Cache;
use crate::clients::Clients;
use crate::dates::Clock;
use crate::options::Patience;
use crate::pages::Pages;
use crate::root::Root;
use crate::rules::Rules;

pub(crate) struct Site {
    pub(crate) event_loop: LoopHandle,
    pub(crate) root: Arc<Root>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) pages: Rc<Pages>,
    pub(crate) cache: Rc<Cache>,
    /// The buffer for every receive. A waiting connection has none.
    pub(crate) received: RefCell<Box<[u8]>>,
    pub(crate) patience: Patience,
    pub(crate) clients: Rc<Clients>,
    pub(crate) clock: Clock,
    pub(crate) log: Option<Rc<Log>>,
}
