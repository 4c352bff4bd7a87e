// Ends a call with a message for the plugin's author, who reads it, with file and line, as the reason of the hook's failure.
// The world must import sigpersist:hooks/log@1.1.0.
#pragma once

#define stop(message) plugin_stop(message, __FILE__, __LINE__)
// A trap of its own tells nothing: with this header, it says where it is.
#define __builtin_trap() stop("__builtin_trap was called")

_Noreturn void plugin_stop(const char *message, const char *file, int line);
