//! Compares the docs with the source files, the public names and the tests.

mod asyncio_page;
mod layers;
