// SPDX-License-Identifier: GPL-2.0

//! The reader against the handler: what one writes, the other understands, or does not believe.

mod deferred;
mod host;
mod oops;
mod output;
mod places;
mod records;
