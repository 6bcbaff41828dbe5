/** Why reading or writing failed. */

export enum ErrorKind {
  /** Not one byte moved for the idle timeout, or for what `setTimeout` set. */
  TimedOut,
  /** The peer does not read any more. */
  BrokenPipe,
  /** The peer ended the connection by force. */
  ConnectionReset,
  /** The reply is longer than a datagram can be. */
  MessageTooLong,
  /** What was asked for is longer than its limit. */
  LimitExceeded,
  /** The input ended within what was asked for. */
  UnexpectedEnd,
  /** Anything else; the message has the number of the error. */
  Other,
}

/** An error of `rfile` or `wfile`. A step may return it, or go on. */
export class IOError extends Error {
  constructor(public kind: ErrorKind, message: string) {
    super(message);
    this.name = "IOError";
  }
}

/** The error of a result of the ABI below 0: a negated errno of WASI preview 1. */
export function errorOf(result: i32): IOError {
  switch (-result) {
    case 15:
      return new IOError(ErrorKind.ConnectionReset, "connection reset");
    case 35:
      return new IOError(ErrorKind.MessageTooLong, "message too long for a datagram");
    case 64:
      return new IOError(ErrorKind.BrokenPipe, "broken pipe");
    case 73:
      return new IOError(ErrorKind.TimedOut, "timed out");
    default:
      return new IOError(ErrorKind.Other, "error " + (-result).toString() + " of the host");
  }
}
