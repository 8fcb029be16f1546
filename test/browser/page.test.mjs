// The page against the mock.
import { cases } from "./cases.mjs";
import { mockRig } from "./rig.mjs";

cases(() => mockRig());
