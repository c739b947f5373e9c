import { ProtocolError } from "../../src/errors.ts";

/** The message of the ProtocolError that `run` throws; any other error is a failure of the test. */
export function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof ProtocolError) return error.message;
    throw error;
  }
  return "nothing thrown";
}
