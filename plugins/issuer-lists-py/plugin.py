"""Refuses signatures whose signers' certificates were issued by somebody who is not allowed, or who is denied."""

import json

from componentize_py_types import Err
from sigpersist_plugin import reported
from wit_world import exports
from wit_world.exports.lifecycle import Description, Issue
from wit_world.imports import cms, config, verdicts
from wit_world.imports.types import Acceptance, Rejection

LISTS = ("allow", "deny")
PASSED = "passed"


@reported
class Lifecycle(exports.Lifecycle):
    def describe(self):
        return Description("Allows and denies issuers of the signers' certificates")

    def validate_config(self, json):
        return read(json)[1]


@reported
class SaveValidator(exports.SaveValidator):
    def validate_save(self, context, draft):
        (allow, deny, passed), _ = read(config.json())
        if allow or deny or passed:
            signers = ask(cms.inspect).signers
            if not signers:
                raise Err([Rejection("not-signed", "Nobody has signed it.", "/cms")])
            certificates = [signer.certificate for signer in signers]
            failed = []
            if passed:
                judgement = ask(verdicts.judge)
                failed = not_passed(judgement)
                # Not the first that fits how the signer is named, which anybody can put there.
                certificates = [signer.certificate for signer in judgement.signers]
            issuers = [issuer_of(*one) for one in zip(signers, certificates, strict=True)]
            rejections = [rejection for issuer in issuers for rejection in judge(issuer, allow, deny)]
            rejections += failed
            if rejections:
                raise Err(rejections)
        return Acceptance([], [])


def read(text):
    """The two lists, whether each signer must pass, and what is wrong with them."""
    try:
        settings = json.loads(text)
    except ValueError as error:
        return ([], [], False), [Issue("", str(error))]
    if not isinstance(settings, dict):
        return ([], [], False), [Issue("", "must be an object")]
    issues = [
        Issue("/" + name.replace("~", "~0").replace("/", "~1"), "there is no such setting")
        for name in settings
        if name not in (*LISTS, PASSED)
    ]
    for name in LISTS:
        issuers = settings.get(name, [])
        if not isinstance(issuers, list):
            issues.append(Issue(f"/{name}", "must be an array of issuers"))
            continue
        for index, issuer in enumerate(issuers):
            issues += check(f"/{name}/{index}", issuer)
    passed = settings.get(PASSED, False)
    if not isinstance(passed, bool):
        issues.append(Issue(f"/{PASSED}", "must be true or false"))
    return (*(settings.get(name, []) for name in LISTS), passed), issues


def check(place, issuer):
    if not isinstance(issuer, dict):
        return [Issue(place, "must be an object of attributes")]
    if not issuer:
        return [Issue(place, "an issuer without attributes would be any")]
    return [
        Issue(place + "/" + attribute.replace("~", "~0").replace("/", "~1"), "must be a string")
        for attribute, value in issuer.items()
        if not isinstance(value, str)
    ]


def ask(question):
    """What the server says of the signature: what is in it, or whether it holds."""
    try:
        return question()
    except Err as error:
        if isinstance(error.value, cms.InspectError_Malformed):
            raise Err([Rejection("malformed-cms", unreadable(error.value.value), "/cms")])
        raise Err([Rejection("not-cms", "The signature is neither CMS nor signed XML.", "/cms")])


def unreadable(why):
    """Some servers give the reason alone, others a sentence."""
    why = why.rstrip(".")
    if why.startswith("It "):
        return f"The signature {why.removeprefix('It ')}."
    return f"The signature can't be read: {why}."


def judge(issuer, allow, deny):
    """What there is against a signer whose certificate has this issuer: nothing, or one rejection."""
    if issuer is None:
        message = "A signer's certificate is not embedded, and its issuer not named."
        yield Rejection("issuer-unknown", message, "/cms")
    elif any(is_one(issuer, denied) for denied in deny):
        yield Rejection("issuer-denied", f"The issuer {issuer.rfc4514} is denied.", "/cms")
    elif allow and not any(is_one(issuer, allowed) for allowed in allow):
        message = f"The issuer {issuer.rfc4514} is not among those allowed."
        yield Rejection("issuer-not-allowed", message, "/cms")


def not_passed(judgement):
    """A rejection for each who does not pass by the certificates that the tenant trusts: signers, and who signed their
    signatures. If nobody signed, there is nobody who passes."""
    if not judgement.signers:
        yield Rejection("not-signed", "Nobody has signed it.", "/cms")
    signers = [("signer", signer) for signer in judgement.signers]
    signers += [("countersigner", signer) for signer in judgement.countersigners]
    for who, signer in signers:
        if signer.verdict.indication != verdicts.Indication.TOTAL_PASSED:
            message = f"{label(who, signer.certificate)} does not pass: {signer.verdict.explanation}"
            yield Rejection("signer-not-passed", message, "/cms")


def label(who, certificate):
    """What a person knows a signer by."""
    if certificate is None:
        return f"A {who} without a certificate"
    names = (part.value for part in certificate.subject.attributes if part.name == "CN")
    return f"The {who} {next(names, certificate.subject.rfc4514)}"


def issuer_of(signer, certificate):
    if certificate:
        return certificate.issuer
    if isinstance(signer.identifier, cms.SignerIdentifier_IssuerAndSerial):
        return signer.identifier.value.issuer
    return None


def is_one(issuer, wanted):
    """Whether the issuer has all attributes that are wanted, by their short names or OIDs."""
    return all(
        any(name in (part.name, part.oid) and value == part.value for part in issuer.attributes)
        for name, value in wanted.items()
    )
