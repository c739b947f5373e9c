/** What this program answers as ssh's askpass, and what it leaves to a person. */
import { expect, test } from "bun:test";
import { isOnTheWay, refusalOf } from "../../src/run/askpass.ts";

const ANSWERED = [
  "root@backup's password: ",
  "root@2001:db8::1's password: ",
  "(root@backup) Password: ",
  "(root@backup) Password for root@backup:",
  "(root@backup) LDAP Password: ",
  "Password: ",
  "Enter passphrase for key '/root/.ssh/id_ed25519': ",
];

const LEFT = [
  "(root@backup) Verification code: ",
  "(root@backup) One-time password (OATH) for `root': ",
  "(root@backup) Password & verification code: ",
  "(root@backup) New password: ",
  "(root@backup) Retype new password: ",
  "(root@backup) Current password: ",
  "(root@backup) (current) UNIX password: ",
  "(root@backup) Your password has expired. Enter new password:",
  "(root@backup) Duo two-factor login for root\n\nEnter a passcode or select one of the following options:",
  "Enter PIN for ECDSA-SK key /root/.ssh/id_ecdsa_sk: ",
  "Enter your password and the code of your token:",
  "Type yes to send the password to another host: ",
];

for (const question of ANSWERED) {
  test(`${JSON.stringify(question)} is answered, but not for a host on the way`, () => {
    expect(refusalOf(question, false)).toBeUndefined();
    expect(refusalOf(question, true)?.why).toContain("of a host on the way");
  });
}

for (const question of LEFT) {
  test(`${JSON.stringify(question)} is left to a person`, () => {
    const why = refusalOf(question, false)?.why;
    expect(why).toStartWith("--pass holds a password, not an answer to ");
    expect(why).not.toContain("\n");
  });
}

test("an ssh that another one started is on the way, whatever stands between them", () => {
  expect(isOnTheWay(["ssh"])).toBe(false);
  expect(isOnTheWay(["ssh", "sh", "wrapper"])).toBe(false);
  expect(isOnTheWay(["ssh", "ssh"])).toBe(true);
  expect(isOnTheWay(["ssh", "sh", "timeout", "ssh", "wrapper"])).toBe(true);
});
