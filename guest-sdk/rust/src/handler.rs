//! The trait that a handler implements, and the macro that makes a Wasm file of it.

use crate::{Request, Result};

/// Serves one request, in the three steps of Python's `BaseRequestHandler`.
///
/// The value is made by [`Default`] before `setup`, lives through the three steps, and is dropped
/// after the last of them. An error of a step is logged and closes the connection; of what it says,
/// nothing reaches the client. A panic ends the instance: no later step runs, and nothing is
/// dropped.
pub trait Handler: Default {
    /// Whether it prints to standard output, which holds back what follows the last newline and is
    /// therefore flushed after each step.
    ///
    /// A handler that never prints, or only whole lines, can say `false`, and its module is spared
    /// the code for it: one that echoes is then of 7 KiB in place of 40.
    const PRINTS: bool = true;

    /// Before [`handle`](Self::handle). After an error neither `handle` nor `finish` runs.
    fn setup(&mut self, request: &mut Request) -> Result {
        let _ = request;
        Ok(())
    }

    /// Serves the request.
    fn handle(&mut self, request: &mut Request) -> Result;

    /// After [`handle`](Self::handle), whether it succeeded or returned an error.
    fn finish(&mut self, request: &mut Request) -> Result {
        let _ = request;
        Ok(())
    }
}

/// Makes a [`Handler`] the one that this Wasm file exports. Once a crate; in a native build it only
/// checks the type.
#[macro_export]
macro_rules! handler {
    ($handler:ty) => {
        #[cfg(target_family = "wasm")]
        ::std::thread_local! {
            static SANDSOCK_HANDLER: $crate::__private::Slot<$handler> =
                const { $crate::__private::Slot::empty() };
        }

        #[cfg(all(target_family = "wasm", target_env = "p1"))]
        const _: () = {
            #[unsafe(no_mangle)]
            extern "C" fn setup() -> i32 {
                $crate::__private::setup(&SANDSOCK_HANDLER)
            }

            #[unsafe(no_mangle)]
            extern "C" fn handle() -> i32 {
                $crate::__private::handle(&SANDSOCK_HANDLER)
            }

            #[unsafe(no_mangle)]
            extern "C" fn finish() -> i32 {
                $crate::__private::finish(&SANDSOCK_HANDLER)
            }
        };

        #[cfg(all(target_family = "wasm", target_env = "p2"))]
        const _: () = {
            struct Component;

            impl $crate::__private::bindings::Guest for Component {
                fn setup() -> ::std::result::Result<(), ::std::string::String> {
                    $crate::__private::setup(&SANDSOCK_HANDLER)
                }

                fn handle() -> ::std::result::Result<(), ::std::string::String> {
                    $crate::__private::handle(&SANDSOCK_HANDLER)
                }

                fn finish() -> ::std::result::Result<(), ::std::string::String> {
                    $crate::__private::finish(&SANDSOCK_HANDLER)
                }
            }

            $crate::__private::bindings::export!(
                Component with_types_in $crate::__private::bindings
            );
        };

        #[cfg(not(target_family = "wasm"))]
        const _: () = {
            fn is_a_handler<H: $crate::Handler>() -> H {
                H::default()
            }
            let _: fn() -> $handler = is_a_handler::<$handler>;
        };
    };
}
