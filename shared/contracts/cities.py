"""The cities (kota) by the codes of the Ministry of Home Affairs, for whoever reads a code.

They are numbered from 71 within each province. Regencies (kabupaten) stand here with no name.
"""

from __future__ import annotations

_OF_PROVINCE = {
    "11": "Banda Aceh, Sabang, Lhokseumawe, Langsa, Subulussalam",
    "12": "Medan, Pematangsiantar, Sibolga, Tanjungbalai, Binjai, Tebing Tinggi,"
    " Padangsidimpuan, Gunungsitoli",
    "13": "Padang, Solok, Sawahlunto, Padang Panjang, Bukittinggi, Payakumbuh, Pariaman",
    "14": "Pekanbaru, Dumai",
    "15": "Jambi, Sungai Penuh",
    "16": "Palembang, Pagar Alam, Lubuk Linggau, Prabumulih",
    "17": "Bengkulu",
    "18": "Bandar Lampung, Metro",
    "19": "Pangkal Pinang",
    "21": "Batam, Tanjung Pinang",
    "31": "Jakarta Pusat, Jakarta Utara, Jakarta Barat, Jakarta Selatan, Jakarta Timur",
    "32": "Bogor, Sukabumi, Bandung, Cirebon, Bekasi, Depok, Cimahi, Tasikmalaya, Banjar",
    "33": "Magelang, Surakarta, Salatiga, Semarang, Pekalongan, Tegal",
    "34": "Yogyakarta",
    "35": "Kediri, Blitar, Malang, Probolinggo, Pasuruan, Mojokerto, Madiun, Surabaya, Batu",
    "36": "Tangerang, Cilegon, Serang, Tangerang Selatan",
    "51": "Denpasar",
    "52": "Mataram, Bima",
    "53": "Kupang",
    "61": "Pontianak, Singkawang",
    "62": "Palangkaraya",
    "63": "Banjarmasin, Banjarbaru",
    "64": "Balikpapan, Samarinda, , Bontang",
    "65": "Tarakan",
    "71": "Manado, Bitung, Tomohon, Kotamobagu",
    "72": "Palu",
    "73": "Makassar, Parepare, Palopo",
    "74": "Kendari, Bau Bau",
    "75": "Gorontalo",
    "81": "Ambon, Tual",
    "82": "Ternate, Tidore Kepulauan",
    "91": "Jayapura",
    "96": "Sorong",
}
CITIES: dict[str, str] = {
    f"{province}.{number}": f"Kota {name}"
    for province, names in _OF_PROVINCE.items()
    for number, name in enumerate(names.split(", "), 71)
    if name
}
"""Code → name, Kemendagri 300.2.2-2138/2025."""
