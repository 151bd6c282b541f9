//! What the docs say about the source files, the public names and the tests.

mod asyncio_page;
mod layers;
