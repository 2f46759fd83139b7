// Links the packages of clients/web, so that the chart that both pages use has one React, and one lock file pins them all.
import { lstatSync, symlinkSync } from 'node:fs';

const link = new URL('../node_modules', import.meta.url);
if (!lstatSync(link, { throwIfNoEntry: false })) symlinkSync('../web/node_modules', link, 'junction');
