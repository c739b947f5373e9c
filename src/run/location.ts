/** Where a source or destination is. */

import type { RemoteHost } from "../remote/host/ssh.ts";

export interface Location {
  /** undefined: on this machine. */
  readonly remote: RemoteHost | undefined;
  readonly path: string;
  /** As messages name it. */
  readonly label: string;
}
