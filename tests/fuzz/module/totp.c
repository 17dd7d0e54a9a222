/* RFC 6238 over HMAC-SHA-1 (RFC 2104, RFC 3174): what the module's own computation is compared with. */
#include <string.h>

#include "harness.h"

static uint32_t rotate(uint32_t word, int by)
{
	return word << by | word >> (32 - by);
}

static void sha1(const uint8_t *data, size_t length, uint8_t digest[20])
{
	uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
	uint8_t padded[256] = {0};
	size_t whole = (length + 9 + 63) / 64 * 64;
	memcpy(padded, data, length);
	padded[length] = 0x80;
	for (int i = 0; i < 8; i++)
		padded[whole - 1 - (size_t)i] = (uint8_t)((uint64_t)length * 8 >> 8 * i);
	for (size_t at = 0; at < whole; at += 64) {
		uint32_t w[80];
		for (int i = 0; i < 16; i++)
			w[i] = (uint32_t)padded[at + 4 * (size_t)i] << 24 | (uint32_t)padded[at + 4 * (size_t)i + 1] << 16 |
			       (uint32_t)padded[at + 4 * (size_t)i + 2] << 8 | padded[at + 4 * (size_t)i + 3];
		for (int i = 16; i < 80; i++)
			w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
		uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
		for (int i = 0; i < 80; i++) {
			uint32_t f = i < 20 ? (b & c) | (~b & d) : i < 40 ? b ^ c ^ d : i < 60 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
			uint32_t k = i < 20 ? 0x5a827999 : i < 40 ? 0x6ed9eba1 : i < 60 ? 0x8f1bbcdc : 0xca62c1d6;
			uint32_t next = rotate(a, 5) + f + e + k + w[i];
			e = d, d = c, c = rotate(b, 30), b = a, a = next;
		}
		state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
	}
	for (int i = 0; i < 20; i++)
		digest[i] = (uint8_t)(state[i / 4] >> (24 - i % 4 * 8));
}

void totp(const char *secret, size_t length, uint64_t step, unsigned digits, char code[9])
{
	uint8_t inner[64 + 8], outer[64 + 20], digest[20];
	memset(inner, 0x36, 64);
	memset(outer, 0x5c, 64);
	for (size_t i = 0; i < length && i < 64; i++) {
		inner[i] ^= (uint8_t)secret[i];
		outer[i] ^= (uint8_t)secret[i];
	}
	for (int i = 0; i < 8; i++)
		inner[64 + i] = (uint8_t)(step >> (56 - 8 * i));
	sha1(inner, sizeof inner, outer + 64);
	sha1(outer, sizeof outer, digest);
	size_t at = digest[19] & 15;
	uint32_t number = (uint32_t)(digest[at] & 0x7f) << 24 | (uint32_t)digest[at + 1] << 16 | (uint32_t)digest[at + 2] << 8 |
			  digest[at + 3];
	for (unsigned i = digits; i > 0; i--, number /= 10)
		code[i - 1] = (char)('0' + number % 10);
	code[digits] = '\0';
}
