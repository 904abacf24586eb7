// error: E0310 the parameter type `T` may not live long enough

// SPDX-License-Identifier: GPL-2.0

//! As for panics: a backend whose registration is leaked stays pstore's.

use core::marker::PhantomData;
use crash::{
    kmsg::Reason,
    pstore::{Backend, Header, Kind, Stored},
    Stopped,
};
use kernel::{prelude::*, ModuleMetadata};

pub struct Records<T, M>(pub T, pub PhantomData<fn(M)>);

macro_rules! backend {
    ($($bound:tt)*) => {
        #[vtable]
        impl<T: Send + Sync $($bound)*, M: ModuleMetadata + 'static> Backend for Records<T, M> {
            const NAME: &'static CStr = c"records";
            const MAX_REASON: Reason = Reason::Panic;
            type Cursor = ();
            type OwnerModule = M;

            fn write(&self, _: Option<Stopped<'_>>, _: &Header, _: &[u8]) -> Result<u64> {
                Err(EBUSY)
            }

            fn next(&self, _: &mut ()) -> Result<Option<Stored>> {
                Ok(None)
            }

            fn erase(&self, _: Kind, _: u64) -> Result {
                Err(ENOENT)
            }
        }
    };
}

#[cfg(wrong)]
backend! {}
#[cfg(not(wrong))]
backend! { + 'static }
