// The page: a session, and its four panels.

import { begin } from "./api.js";
import { setUpActions } from "./actions.js";
import { setUpColors } from "./colors.js";
import { $, complain } from "./dom.js";
import { setUpPerson } from "./person.js";
import { setUpPreview } from "./preview.js";

try {
  const facts = await begin();
  setUpPreview();
  setUpColors();
  setUpActions(facts);
  if (facts.server) $("privacy").textContent = `Photos are sent to ${facts.server}, which draws the videos.`;
  setUpPerson(facts);
  document.body.dataset.ready = "true";
} catch (error) {
  complain(error);
}
