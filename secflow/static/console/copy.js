// Copy buttons: each copies the text of the element that its `data-copy` names. Without this script they stay hidden.
"use strict";

(() => {
  function copyFrom(button) {
    const source = document.getElementById(button.dataset.copy);
    const select = () => {
      const range = document.createRange();
      range.selectNodeContents(source);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      button.textContent = "Selected";
    };
    // Browsers give pages the clipboard over TLS and on this machine only.
    if (!navigator.clipboard) select();
    else navigator.clipboard.writeText(source.textContent).then(() => (button.textContent = "Copied"), select);
    setTimeout(() => (button.textContent = "Copy"), 2000);
  }

  function begin() {
    for (const button of document.querySelectorAll("[data-copy]")) {
      button.hidden = false;
      button.addEventListener("click", () => copyFrom(button));
    }
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
