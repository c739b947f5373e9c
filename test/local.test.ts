import { describeEndpoint } from "./endpoint-suite.ts";
import { openLocal } from "./helpers/endpoints.ts";

describeEndpoint("LocalEndpoint", openLocal);
