import { openRemote, openTrickle } from "../helpers/endpoints.ts";
import { describeEndpoint } from "./endpoint-suite.ts";
import { describeLending, describeMuch } from "./lending-suite.ts";

describeEndpoint("RemoteEndpoint over channel and serve", openRemote);
describeEndpoint("RemoteEndpoint over streams of 7-byte pieces", openTrickle);
describeLending("RemoteEndpoint over channel and serve", openRemote);
describeMuch("RemoteEndpoint over channel and serve", openRemote);
