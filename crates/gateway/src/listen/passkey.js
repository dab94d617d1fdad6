// Asks the browser for a passkey and sends what it says with the form around the button. The only script on these pages.
"use strict";

const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

async function make({ rp, challenge, user, handle }) {
  const publicKey = {
    challenge: bytes(challenge),
    rp: { id: rp, name: "Sallyport" },
    user: { id: bytes(handle), name: user, displayName: user },
    pubKeyCredParams: [-7, -8].map((alg) => ({ type: "public-key", alg })),
    authenticatorSelection: { residentKey: "required", userVerification: "required" },
    attestation: "none",
  };
  const { response } = await navigator.credentials.create({ publicKey });
  return { client_data: response.clientDataJSON, attestation: response.attestationObject };
}

async function use({ rp, challenge }) {
  const publicKey = { challenge: bytes(challenge), rpId: rp, userVerification: "required" };
  const { rawId, response } = await navigator.credentials.get({ publicKey });
  return {
    credential: rawId,
    client_data: response.clientDataJSON,
    authenticator_data: response.authenticatorData,
    signature: response.signature,
  };
}

for (const place of document.querySelectorAll("[data-passkey]")) {
  if (!window.PublicKeyCredential) continue;
  place.hidden = false;
  place.querySelector("button").addEventListener("click", async () => {
    try {
      const said = await (place.dataset.passkey === "make" ? make : use)(place.dataset);
      const { form } = place.querySelector("button");
      for (const [name, value] of Object.entries(said)) form.elements[name].value = text(value);
      form.submit();
    } catch (error) {
      place.querySelector("[role=alert]").textContent = `Your browser gave no passkey: ${error.message}`;
    }
  });
}
